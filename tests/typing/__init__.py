"""What mypy and pyright must infer, and what they must refuse. Checked by `nox -s types`, never run.

What must be inferred is an `assert_type`. What must be refused carries both of these comments, each with its code:

    ref.tell("text")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

An ignore that ignores nothing is itself an error, in mypy by ``strict`` (unused-ignore) and in pyright by
``reportUnnecessaryTypeIgnoreComment``, so what is no longer refused turns the check red. To see it do so, put the
comment above behind a line that is right, such as ``ref.tell(Add(1))``: mypy says 'Unused "type: ignore" comment',
pyright 'Unnecessary "# pyright: ignore" rule'.
"""
