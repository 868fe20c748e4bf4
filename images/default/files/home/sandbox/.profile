[ -r "$HOME/.bashrc" ] && . "$HOME/.bashrc"
