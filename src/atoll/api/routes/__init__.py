"""The handlers, one file a noun: parse, call one service function, render."""
