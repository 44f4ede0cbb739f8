"""Main memory: its words and ports (`memory`), their past states (`history`), and what has been freed (`poison`)."""
