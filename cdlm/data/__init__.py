"""Text in and out: word rules and tokenizers."""
