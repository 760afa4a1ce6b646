"""What a study is: configuration, sheet, epsilons, targets, where its files lie, what its jobs say of
themselves.

All that a rule file needs to know; rule files import nothing else of this package.
"""

from alignsec.ground.errors import AlignsecError

__all__ = ["AlignsecError"]
