"""The record in MLflow: experiments, runs, models, the registry and saved views, shipped from the store."""
