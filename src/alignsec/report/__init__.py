"""What a reader sees: findings in sentences, tables, figures, a page to explore."""
