export PATH="$HOME/.local/bin:$PATH"
case $- in *i*) ;; *) return ;; esac
PS1='\w\$ '
alias ls='ls --color=auto' grep='grep --color=auto'
[ -r /usr/share/bash-completion/bash_completion ] && . /usr/share/bash-completion/bash_completion
