"""The judge: builds two sides, runs them, and says whether they compute the same.

`torch_parity` holds what is meant for users: check, check_modules, check_gradient and the rest.
"""
