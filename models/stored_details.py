"""What of a stored model or adapter goes into its manifest, read from its own files."""

from models.adapter_layers import read_adapter, summarize_adapter
from models.adapters import find_adapter
from models.details import summarize
from models.resolve import adapter_of, files_of
from models.store.library import Library
from models.store.manifest import Details, Manifest


def details_of(manifest: Manifest, library: Library) -> Details:
    """Details of what the layers hold; they must be in the library.

    Raises:
        InvalidModelFile, Unsupported: they are damaged, or cannot be loaded.
    """
    if manifest.format == "adapter":
        return summarize_adapter(read_adapter(find_adapter(adapter_of(manifest, library))))
    return summarize(files_of(manifest, library))
