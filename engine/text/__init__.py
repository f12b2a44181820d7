"""Between people and tokens: templates, parsers, streams of text, grammars, contexts."""
