"""What replies look like, for the OpenAPI document; a test holds them against real replies."""

from typing import Any

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer"}
NUMBER: Json = {"type": "number"}
FLAG: Json = {"type": "boolean"}
TIME: Json = {"type": "string", "format": "date-time"}
ANY_OBJECT: Json = {"type": "object"}
ANY: Json = {}


def obj(optional: Json | None = None, /, **required: Json) -> Json:
    """An object with these fields; the first argument's may be missing."""
    properties = {**required, **(optional or {})}
    found: Json = {"type": "object", "properties": properties}
    return found | ({"required": list(required)} if required else {})


def array(items: Json) -> Json:
    """An array of `items`."""
    return {"type": "array", "items": items}


def ref(name: str) -> Json:
    """Another schema of this page."""
    return {"$ref": f"#/components/schemas/{name}"}


def maybe(schema: Json) -> Json:
    """Or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def one_of(*values: Any) -> Json:
    """One of these values."""
    return {"enum": list(values)}


_CALL = obj(id=TEXT, function=obj(index=WHOLE, name=TEXT, arguments=ANY_OBJECT))
_LOGPROB = obj(
    {"top_logprobs": array(obj(token=TEXT, bytes=array(WHOLE), logprob=NUMBER))},
    token=TEXT,
    bytes=array(WHOLE),
    logprob=NUMBER,
)
_OLLAMA_END = {
    "done_reason": TEXT,
    "logprobs": array(_LOGPROB),
    "total_duration": WHOLE,
    "load_duration": WHOLE,
    "prompt_eval_count": WHOLE,
    "prompt_eval_duration": WHOLE,
    "eval_count": WHOLE,
    "eval_duration": WHOLE,
    "cached_prompt_tokens": WHOLE,
    "draft": obj(accepted=WHOLE, proposed=WHOLE),
    "truncated": obj(dropped_messages=WHOLE, dropped_tokens=WHOLE),
    "progress": obj(prompt_tokens_computed=WHOLE),
}
_DETAILS = obj(
    parent_model=TEXT,
    format=TEXT,
    family=TEXT,
    families=array(TEXT),
    parameter_size=TEXT,
    quantization_level=TEXT,
    context_length=maybe(WHOLE),
    embedding_length=maybe(WHOLE),
)
_LISTED = {"name": TEXT, "model": TEXT, "size": WHOLE, "digest": TEXT, "details": ref("Details")}
_USAGE = obj(
    prompt_tokens=WHOLE,
    completion_tokens=WHOLE,
    total_tokens=WHOLE,
    prompt_tokens_details=obj(cached_tokens=WHOLE),
)
_OPENAI_CALL = obj(
    id=TEXT, index=WHOLE, type=one_of("function"), function=obj(name=TEXT, arguments=TEXT)
)
_CHAT_LOGPROBS = obj(content=array(_LOGPROB))
_FINISH = one_of("stop", "length", "tool_calls", "abort", "error")
_OPENAI_HEAD: Json = {"id": TEXT, "created": WHOLE, "model": TEXT, "system_fingerprint": TEXT}
_SHORT_USAGE = obj(prompt_tokens=WHOLE, total_tokens=WHOLE)
_TOP_MODEL = obj(
    name=TEXT,
    loaded=FLAG,
    size_bytes=WHOLE,
    context_length=WHOLE,
    running=WHOLE,
    waiting=WHOLE,
    output_tokens_per_s=NUMBER,
    kv_use=NUMBER,
    prefix_hit_rate=maybe(NUMBER),
    acceptance=maybe(NUMBER),
    requests=WHOLE,
    output_tokens=WHOLE,
    restarts=WHOLE,
    expires_at=TIME,
)
_TOP_REQUEST = obj(
    id=TEXT,
    model=TEXT,
    state=one_of("waiting", "prefill", "decode"),
    elapsed_s=NUMBER,
    prompt_tokens=WHOLE,
    computed_tokens=WHOLE,
    output_tokens=WHOLE,
    tokens_per_s=maybe(NUMBER),
)

REPEATED = (
    *("instructions", "max_output_tokens", "metadata", "parallel_tool_calls"),
    *("previous_response_id", "reasoning", "store", "temperature", "text", "tool_choice"),
    *("tools", "top_p", "truncation", "user"),
)
"""Fields of a request that the response has too."""

SCHEMAS: dict[str, Json] = {
    "Error": obj({"hint": TEXT, "kind": TEXT, "status": WHOLE}, error=TEXT),
    "OpenAIError": obj(
        error=obj({"hint": TEXT}, message=TEXT, type=TEXT, param=maybe(TEXT), code=maybe(TEXT))
    ),
    "AnthropicError": obj(
        type=one_of("error"), error=obj(type=TEXT, message=TEXT), request_id=TEXT
    ),
    "Details": _DETAILS,
    "ChatReply": obj(
        _OLLAMA_END,
        model=TEXT,
        created_at=TIME,
        message=obj({"thinking": TEXT, "tool_calls": array(_CALL)}, role=TEXT, content=TEXT),
        done=FLAG,
    ),
    "GenerateReply": obj(
        {**_OLLAMA_END, "thinking": TEXT, "tool_calls": array(_CALL), "context": array(WHOLE)},
        model=TEXT,
        created_at=TIME,
        response=TEXT,
        done=FLAG,
    ),
    "EmbedReply": obj(
        {"total_duration": WHOLE, "load_duration": WHOLE, "prompt_eval_count": WHOLE},
        model=TEXT,
        embeddings=array(array(NUMBER)),
    ),
    "EmbeddingReply": obj(embedding=array(NUMBER)),
    "Tags": obj(models=array(obj(**_LISTED, modified_at=TIME, capabilities=array(TEXT)))),
    "Loaded": obj(
        models=array(
            obj(
                {"adapter": TEXT, "replaced_kernels": array(TEXT)},
                **_LISTED,
                expires_at=TIME,
                size_vram=WHOLE,
                context_length=WHOLE,
                kv_type=one_of("f16", "q8_0"),
                kv_bytes_per_token=WHOLE,
            )
        )
    ),
    "ShowReply": obj(
        {
            "license": TEXT,
            "parameters": TEXT,
            "system": TEXT,
            "messages": array(ANY_OBJECT),
            "tensors": array(obj(name=TEXT, type=TEXT, shape=array(WHOLE))),
        },
        modelfile=TEXT,
        template=TEXT,
        details=ref("Details"),
        model_info=ANY_OBJECT,
        capabilities=array(TEXT),
        modified_at=TIME,
    ),
    "Version": obj(version=TEXT, localllm=TEXT, pid=WHOLE),
    "StatusLine": obj({"digest": TEXT, "total": WHOLE, "completed": WHOLE}, status=TEXT),
    "CloudStatus": obj(cloud=obj(disabled=FLAG, source=TEXT)),
    "ChatCompletion": obj(
        **_OPENAI_HEAD,
        object=one_of("chat.completion"),
        choices=array(
            obj(
                {"logprobs": _CHAT_LOGPROBS},
                index=WHOLE,
                message=obj(
                    {"reasoning": TEXT, "tool_calls": array(_OPENAI_CALL)},
                    role=TEXT,
                    content=maybe(TEXT),
                ),
                finish_reason=_FINISH,
            )
        ),
        usage=_USAGE,
    ),
    "Completion": obj(
        **_OPENAI_HEAD,
        object=one_of("text_completion"),
        choices=array(
            obj(text=TEXT, index=WHOLE, finish_reason=_FINISH, logprobs=maybe(ANY_OBJECT))
        ),
        usage=_USAGE,
    ),
    "Response": obj(
        dict.fromkeys(REPEATED, ANY),
        id=TEXT,
        object=one_of("response"),
        created_at=WHOLE,
        status=one_of("completed", "incomplete", "in_progress", "failed"),
        background=FLAG,
        error=maybe(ANY_OBJECT),
        incomplete_details=maybe(obj(reason=TEXT)),
        model=TEXT,
        output=array(ANY_OBJECT),
        service_tier=TEXT,
        usage=maybe(
            obj(
                input_tokens=WHOLE,
                input_tokens_details=obj(cached_tokens=WHOLE),
                output_tokens=WHOLE,
                output_tokens_details=obj(reasoning_tokens=WHOLE),
                total_tokens=WHOLE,
            )
        ),
    ),
    "ResponseItems": obj(object=one_of("list"), data=array(ANY_OBJECT), has_more=FLAG),
    "ResponseDeleted": obj(id=TEXT, object=one_of("response"), deleted=FLAG),
    "Model": obj(id=TEXT, object=one_of("model"), created=WHOLE, owned_by=TEXT),
    "Models": obj(object=one_of("list"), data=array(ref("Model"))),
    "Embeddings": obj(
        object=one_of("list"),
        data=array(
            obj(
                object=one_of("embedding"),
                index=WHOLE,
                embedding={"anyOf": [array(NUMBER), TEXT]},
            )
        ),
        model=TEXT,
        usage=_SHORT_USAGE,
    ),
    "Ranking": obj(
        object=one_of("list"),
        model=TEXT,
        results=array(obj({"document": obj(text=TEXT)}, index=WHOLE, relevance_score=NUMBER)),
        usage=_SHORT_USAGE,
    ),
    "Tokens": obj(
        {"pieces": array(TEXT), "max_model_len": WHOLE}, tokens=array(WHOLE), count=WHOLE
    ),
    "Text": obj(prompt=TEXT, content=TEXT),
    "AnthropicMessage": obj(
        id=TEXT,
        type=one_of("message"),
        role=one_of("assistant"),
        model=TEXT,
        content=array(
            obj(
                {
                    "text": TEXT,
                    "thinking": TEXT,
                    "signature": TEXT,
                    "id": TEXT,
                    "name": TEXT,
                    "input": ANY_OBJECT,
                },
                type=one_of("text", "thinking", "tool_use"),
            )
        ),
        stop_reason=one_of("end_turn", "max_tokens", "stop_sequence", "tool_use"),
        stop_sequence=maybe(TEXT),
        usage=obj(
            input_tokens=WHOLE,
            cache_read_input_tokens=WHOLE,
            cache_creation_input_tokens=WHOLE,
            output_tokens=WHOLE,
        ),
    ),
    "TokenCount": obj(input_tokens=WHOLE),
    "Health": obj(
        {"deep": {"type": "object", "additionalProperties": {"type": ["number", "string"]}}},
        status=TEXT,
        version=TEXT,
        uptime_s=NUMBER,
        requests=WHOLE,
        models=array(TEXT),
    ),
    "Top": obj(
        version=TEXT,
        uptime_s=NUMBER,
        queue_depth=WHOLE,
        max_queue=WHOLE,
        requests_refused=WHOLE,
        models=array(_TOP_MODEL),
        requests=array(_TOP_REQUEST),
    ),
    "Why": obj(
        model=TEXT,
        request_id=TEXT,
        cause=TEXT,
        num_prompt_tokens=WHOLE,
        num_cached_tokens=WHOLE,
        num_shared_tokens=WHOLE,
        nearest_request_id=maybe(TEXT),
        shared_text=TEXT,
        text=TEXT,
        nearest_text=TEXT,
        token=maybe(TEXT),
        nearest_token=maybe(TEXT),
    ),
}
