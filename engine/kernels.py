"""Which kernels the engine runs on here, for `doctor` and `bench`."""

from metal_kernels import backend
from metal_kernels.backend import BackendDescription
from models.errors import InvalidInput


def describe_kernels() -> BackendDescription:
    """The kernels of this process and what would make them faster.

    Raises:
        InvalidInput: LOCALLLM_BACKEND or LOCALLLM_CPU_ISA asks for what this machine lacks.
    """
    try:
        return backend.describe()
    except ValueError as error:
        raise InvalidInput(str(error), hint="unset the variable") from None
