"""Where a trace comes from: the pair of one case, arrays, modules, files, ranks."""
