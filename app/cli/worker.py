"""`localllm worker`: the process that holds one model; the daemon starts it."""

import click


@click.command("worker", hidden=True)
def worker_command() -> None:
    """Serve one model on standard input and output (`app.protocol`)."""
    from app.worker.process import main

    main()
