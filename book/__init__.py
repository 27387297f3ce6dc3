"""The book: turns docs/ into pages for a site generator, and inserts everything that is computed.

`python -m book` reads docs/ and writes build/book/, plain Markdown; mkdocs.yml makes the site of it
in build/site/ (`make docs`). A page of docs/ is ordinary Markdown. Computed
parts are requested by a comment on its own line (any other comment is an error):

  <!-- twins: manual/ops/relu.py: relu, relu_backward | torch_ref/ops/relu.py: relu -->
      the source of these functions, side by side
  <!-- code: examples/student/student.py -->      a whole file; after a further colon: some names
  <!-- tables: dropout -->                        what the lesson measures, as tables
  <!-- picture: dropout expectation | words -->   one of its pictures, and what there is to see
  <!-- conclusion: dropout -->                    its conclusion
  <!-- mistakes: keep_prob, dropout_missing -->   each with its remedy and what the judge says of it
  <!-- output -->                                 what the code block just above prints
  <!-- written: NAME --> to <!-- written -->      figures that a script of benchmarks/ writes there
  <!-- lessons -->  <!-- course -->  <!-- catalogue -->
  <!-- reference: torch_parity.manual -->  <!-- case_fields -->

Every ```python and ```sh block is run, in the order of the page and in a folder that holds
examples/ (tests/test_pages.py); a ```text block below is what it prints. A python block with
title="name.py" is a file of that name instead. Formulas are LaTeX: $p$, or a ```math block. A page
in Chinese is called PAGE.zh.md, and has the same code and the same comments.

The pages of lessons and the scripts of examples/ also become notebooks (notebook.py), which two
kernels run (kernels.py). What a lesson measures and prints there is what its page shows.
"""
