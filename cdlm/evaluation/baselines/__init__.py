"""What a user would pick instead: causal language models of the same size, data and tokenizer, sampled or steered."""
