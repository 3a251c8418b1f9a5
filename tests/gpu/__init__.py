"""What only a GPU can show. Skipped without one; `make gpu` runs them. Needs neither Ray nor MLflow."""
