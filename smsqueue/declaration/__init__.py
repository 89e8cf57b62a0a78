"""The TOML file in which an operator declares a gateway of their own: data only, checked as a whole when we start."""

from smsqueue.declaration.parts import Declaration
from smsqueue.declaration.reading import BadDeclaration, read

__all__ = ["BadDeclaration", "Declaration", "read"]
