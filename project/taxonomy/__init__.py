"""Labels that an LLM proposes for texts: how it is asked, what it answers, and what people edit."""
