"""The model library in the words of the API: lookups, listings and details."""

import json
from datetime import UTC, datetime
from typing import Any

from app.daemon.ollama.replies import rfc3339
from app.daemon.workers.model_worker import ModelSource, ModelWorker
from models.errors import InvalidInput, NotFound
from models.files import ModelFiles
from models.memory_plan import parse_kv_type
from models.name import ModelName
from models.resolve import resolve, resolve_adapter
from models.store.library import Library
from models.store.manifest import Details, Manifest

Json = dict[str, Any]


class Catalog:
    """Answers from the library; keeps the details of models in use, by digest."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._details: dict[str, Details] = {}

    def find(
        self,
        text: str,
        adapter: str | None = None,
        draft: str | None = None,
        kv_type: str | None = None,
    ) -> ModelSource:
        """The model that a request names; a path is as good as a name.

        Without `draft` and `kv_type`, what is stored with the model.

        Raises:
            NotFound, InvalidInput: in Ollama's words, with our hint.
        """
        if not text:
            raise NotFound("model '' not found")
        try:
            files = resolve(text, self.library)
        except NotFound as error:
            is_name = error.message.startswith("model ")
            message = f"model '{text}' not found" if is_name else error.message
            raise NotFound(message, hint=error.hint) from error
        if adapter is not None:
            adapter = str(resolve_adapter(adapter, self.library))
        draft = files.parameters.get("draft") if draft is None else draft
        if draft:
            self._check_draft(draft)
        kv_type = files.parameters.get("kv_type") if kv_type is None else kv_type
        kept = None if kv_type is None else parse_kv_type(kv_type)
        return ModelSource(text, files, adapter, draft, kept)

    def _check_draft(self, draft: str) -> None:
        try:
            resolve(draft, self.library)
        except NotFound as error:
            raise NotFound(f"draft {error.message}", hint=error.hint) from error

    def details(self, files: ModelFiles) -> Details:
        """What kind of model it is, from its manifest or, for a path, from its own header."""
        if files.digest not in self._details:
            from models.details import summarize  # needs numpy, which a start need not wait for

            manifest = self._manifest(files)
            self._details[files.digest] = manifest.details if manifest else summarize(files)
        return self._details[files.digest]

    def tags(self) -> Json:
        """The body of `/api/tags`."""
        return {"models": [_tag(manifest) for manifest in self.models()]}

    def models(self) -> list[Manifest]:
        """What can answer requests: adapters are used by name beside a model, not alone."""
        return [manifest for manifest in self.library.list() if manifest.format != "adapter"]

    def loaded(self, workers: list[ModelWorker]) -> Json:
        """The body of `/api/ps`."""
        return {"models": [self._loaded(worker) for worker in workers if worker.is_loaded]}

    def show(self, files: ModelFiles, *, verbose: bool) -> Json:
        """The body of `/api/show`."""
        from models.details import describe

        described = describe(files)
        manifest = self._manifest(files)
        modified = manifest.created if manifest else _modified(files)
        body: Json = {
            "license": described.license or "",
            "modelfile": _modelfile(files, described.template),
            "parameters": _parameters(files),
            "template": described.template or "",
            "system": files.system or "",
            "details": _details(files.format, described.details),
            "messages": list(files.messages),
            "model_info": described.model_info(verbose=verbose),
            "tensors": [
                {"name": tensor.name, "type": tensor.quantization, "shape": list(tensor.shape)}
                for tensor in described.tensors
                if files.format == "gguf" or verbose
            ],
            "capabilities": list(described.details.capabilities),
            "modified_at": rfc3339(modified),
        }
        optional = ("license", "parameters", "system", "messages", "tensors")
        return {key: value for key, value in body.items() if value or key not in optional}

    def copy(self, source: str, destination: str) -> None:
        """Give a model a second name.

        Raises:
            NotFound, InvalidInput: in Ollama's words.
        """
        names = {}
        for role, text in (("source", source), ("destination", destination)):
            try:
                names[role] = ModelName.parse(text)
            except InvalidInput as error:
                raise InvalidInput(f'{role} "{text}" is invalid', hint=error.hint) from error
        try:
            self.library.copy(names["source"], names["destination"])
        except NotFound as error:
            raise NotFound(f'model "{source}" not found', hint=error.hint) from error

    def delete(self, text: str) -> str:
        """Remove a name; the name as it was stored.

        Raises:
            NotFound, InvalidInput: in Ollama's words.
        """
        if not text:
            raise InvalidInput("model is required")
        try:
            name = ModelName.parse(text)
        except InvalidInput as error:
            raise InvalidInput(f'name "{text}" is invalid', hint=error.hint) from error
        try:
            stored = self.library.get(name).name
            self.library.remove(name)
        except NotFound as error:
            raise NotFound(f"model '{text}' not found", hint=error.hint) from error
        return stored

    def _manifest(self, files: ModelFiles) -> Manifest | None:
        try:
            manifest = self.library.find(ModelName.parse(files.name))
        except InvalidInput:
            return None
        return manifest if manifest is not None and manifest.digest == files.digest else None

    def _loaded(self, worker: ModelWorker) -> Json:
        assert worker.ready is not None
        files = worker.source.files
        body = {
            "name": files.name,
            "model": files.name,
            "size": worker.size_bytes,
            "digest": files.digest,
            "details": _details(files.format, self.details(files)),
            "expires_at": rfc3339(worker.expires_at),
            "size_vram": worker.size_bytes,
            "context_length": worker.ready.context_length,
            "kv_type": worker.ready.kv_type,
            "kv_bytes_per_token": worker.ready.kv_token_bytes,
        }
        ours = {
            "adapter": worker.source.adapter,
            "replaced_kernels": list(worker.ready.replaced_kernels),
        }
        return body | {key: value for key, value in ours.items() if value}


def _details(format_name: str, details: Details) -> Json:
    return {
        "parent_model": "",
        "format": "gguf" if format_name == "gguf" else "safetensors",
        "family": details.architecture,
        "families": [details.architecture],
        "parameter_size": details.parameter_count,
        "quantization_level": details.quantization,
        "context_length": details.context_length,
        "embedding_length": details.embedding_length,
    }


def _tag(manifest: Manifest) -> Json:
    return {
        "name": manifest.name,
        "model": manifest.name,
        "modified_at": rfc3339(manifest.created),
        "size": manifest.size_bytes,
        "digest": manifest.digest,
        "details": _details(manifest.format, manifest.details),
        "capabilities": list(manifest.details.capabilities),
    }


def _modified(files: ModelFiles) -> datetime:
    path = files.paths[0] if files.paths else files.directory
    assert path is not None
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _parameters(files: ModelFiles) -> str:
    """The stored options as a Modelfile's parameters are shown, one line for each stop string."""
    lines = []
    for name, value in files.parameters.items():
        for item in value if isinstance(value, list) else [value]:
            shown = json.dumps(item, ensure_ascii=False) if isinstance(item, str) else item
            lines.append(f"{name:<30} {shown}")
    return "\n".join(lines)


def _modelfile(files: ModelFiles, template: str | None) -> str:
    lines = [
        '# Modelfile generated by "localllm show"',
        f"FROM {files.paths[0] if files.paths else files.directory}",
    ]
    lines += [f'TEMPLATE """{template}"""'] if template else []
    lines += [f'SYSTEM """{files.system}"""'] if files.system else []
    lines += [
        f"PARAMETER {' '.join(line.split(maxsplit=1))}" for line in _parameters(files).splitlines()
    ]
    lines += [f"ADAPTER {files.adapter}"] if files.adapter else []
    return "\n".join(lines) + "\n"
