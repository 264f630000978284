"""The type checker that the test suite's import hook puts around every function of vesalius."""

from beartype import BeartypeConf, beartype

typecheck = beartype(conf=BeartypeConf(is_pep484_tower=True))
