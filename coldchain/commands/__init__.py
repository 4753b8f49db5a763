"""What each command of `coldchain` does; `cli` only names them and their options."""
