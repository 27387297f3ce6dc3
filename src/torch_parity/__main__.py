"""python -m torch_parity: the command `parity`, where it is not on the shell's path."""

from torch_parity.compare.start import main

main()
