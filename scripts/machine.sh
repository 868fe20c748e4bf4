# shellcheck shell=bash
# What scripts/serve and scripts/test do alike: bring this machine to what they need, and nothing when it is there.
# Sourced, with `set -euo pipefail` and the project's folder in $project. Every step is looked at before it is done,
# done completely or again, and shown on one line.

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "atoll: $*"
    exit 1
}

# draw LABEL PERCENT [DETAIL]: a progress bar on the terminal's current line; nothing where nobody looks.
draw() {
    [[ -t 2 ]] || return 0
    local width=24 filled
    filled=$(($2 * width / 100))
    printf '\r\033[K%-28s [%s%s] %3d%% %.30s' "$1" "$(printf '%*s' "$filled" '' | tr ' ' '#')" \
        "$(printf '%*s' $((width - filled)) '' | tr ' ' '.')" "$2" "${3-}" >&2
}

# done_with LABEL: the line that stays.
done_with() {
    [[ -t 2 ]] && printf '\r\033[K' >&2
    say "$1: done"
}

# as_root COMMAND...: through sudo when needed, with the settings that downloads and Atoll itself go by.
as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        sudo_prefix
        "${sudo_prefix[@]}" "$@"
    fi
}

# Sets the array sudo_prefix. Only names are on the command line: values can be secrets.
sudo_prefix() {
    command -v sudo >/dev/null || fail "this needs root: run it as root, or install sudo."
    local own_pip_settings=${XDG_CONFIG_HOME:-$HOME/.config}/pip/pip.conf names
    local kept='^(ATOLL_.*|PIP_.*|SSL_CERT_.*|REQUESTS_CA_BUNDLE|CI|.*_proxy|.*_PROXY)$'
    if [[ -z ${PIP_CONFIG_FILE-} && -r $own_pip_settings ]]; then
        export PIP_CONFIG_FILE=$own_pip_settings
    fi
    if [[ $(sudo --version 2>&1) == sudo-rs* ]]; then # Ubuntu's since 25.10; it preserves nothing
        sudo_prefix=(sudo -- bash -c "$take_over" take_over "$kept")
        return
    fi
    names=$(compgen -e | grep -E "$kept" | paste -sd, -) || true
    sudo_prefix=(sudo ${names:+"--preserve-env=$names"} --)
}

# What root does first then: it takes the variables from sudo itself, which was given all of ours.
# shellcheck disable=SC2016
take_over='
    while IFS= read -r -d "" pair; do
        [[ ${pair%%=*} =~ $1 && ${pair%%=*} =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] && export "${pair?}"
    done <"/proc/$PPID/environ"
    shift
    exec "$@"'

# need_program PROGRAM PACKAGE: install the package unless the program is there, whoever brought it.
need_program() {
    PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null || need_packages "$2"
}

# need_packages PACKAGE...: install those Debian packages that are missing.
need_packages() {
    local missing=() package
    for package in "$@"; do
        [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            missing+=("$package")
    done
    ((${#missing[@]} == 0)) && return 0
    say "Installing ${missing[*]}"
    # The lists may be missing or too old to name what the mirror has today: only then are they fetched.
    if ! install_packages "${missing[@]}"; then
        run_apt "Updating package lists" update || fail "apt-get update failed: $(tail -n 3 "$apt_log")"
        install_packages "${missing[@]}" || fail "apt-get could not install ${missing[*]}: $(tail -n 5 "$apt_log")$(where_packages_are)"
    fi
    done_with "System packages"
}

# install_packages PACKAGE...: never at the price of one that is there, such as another maker's runc that Docker needs.
install_packages() {
    run_apt "Installing system packages" install --yes --no-install-recommends --no-remove "$@"
}

# where_packages_are: a hint for systems that do not look everywhere.
where_packages_are() {
    grep -qs '^ID=ubuntu$' /etc/os-release || return 0
    grep -qs universe /etc/apt/sources.list /etc/apt/sources.list.d/* ||
        printf '\n%s' "Ubuntu has some of them in its component universe: sudo add-apt-repository universe"
}

# run_apt LABEL ARGUMENT...: apt-get, waiting up to five minutes for others of its kind (a new machine updates itself):
# it does so for dpkg's lock by itself, but gives up at once for those of lists and archives.
run_apt() {
    local label=$1 deadline=$((SECONDS + 300))
    while ! run_apt_once "$@"; do
        grep -qs '^E: Could not get lock /var/' "$apt_log" && ((SECONDS < deadline)) || return 1
        draw "$label" 0 "another apt is at work"
        sleep 1
    done
}

# run_apt_once LABEL ARGUMENT...: with a progress bar; what it says is in $apt_log.
run_apt_once() {
    local label=$1 kind percent
    shift
    apt_log=$project/build/apt.log
    mkdir -p "$project/build"
    : >"$apt_log"
    as_root env LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get --quiet -o APT::Status-Fd=1 \
        -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" 2>&1 </dev/null |
        while IFS= read -r line; do
            IFS=: read -r kind _ percent _ <<<"$line"
            case $kind in
                dlstatus) draw "$label" "$((${percent%.*} / 2))" ;;
                pmstatus) draw "$label" "$((50 + ${percent%.*} / 2))" ;;
                *) printf '%s\n' "$line" >>"$apt_log" ;;
            esac
        done
}

# find_python: sets $python to a system Python of 3.11 or newer, installed when there is none.
# Not one of pyenv or conda: the server runs as a user of its own, which cannot read people's homes.
find_python() {
    local candidate
    for candidate in /usr/bin/python3 /usr/bin/python3.{13,12,11,14}; do
        if [[ -x $candidate ]] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            python=$candidate
            need_packages "$(python_package "$candidate")-venv"
            return
        fi
    done
    if [[ -x /usr/bin/python3 ]] && /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info >= (3, 11))'; then
        need_packages python3.11 python3.11-venv # Ubuntu 22.04 has it beside its own
        python=/usr/bin/python3.11
    else
        need_packages python3 python3-venv
        python=/usr/bin/python3
    fi
}

# The package whose -venv belongs to a Python: python3.11 for /usr/bin/python3 where that is 3.11.
python_package() {
    "$1" -c 'import sys; print("python3.%d" % sys.version_info.minor)'
}

# make_environment FOLDER LOCK [PROJECT]: a virtual environment with exactly what LOCK pins, and the project itself
# (editable) when its folder is given. A stamp, written last, says what is in it; without the right one it is made anew.
make_environment() {
    local folder=$1 lock=$2 own=${3-} stamp
    stamp=$(cat "$lock" "$project/pyproject.toml" <("$python" --version) <(echo "$folder") | sha256sum)
    if [[ -r $folder/stamp && $(<"$folder/stamp") == "$stamp" && -x $folder/bin/python ]]; then
        return 0
    fi
    local label="Python packages (${lock##*/})" log
    rm -f "$folder/stamp"
    draw "$label" 0
    mkdir -p "${folder%/*}"
    "$python" -m venv --clear "$folder"
    log=$folder/install.log
    install_wheels "$label" "$folder" "$lock" "$log" || {
        [[ -t 2 ]] && say ""
        fail "Python packages cannot be installed: $(tail -n 12 "$log")"
    }
    if [[ -n $own ]]; then
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
            --no-index --editable "$own" >>"$log" 2>&1 || fail "the project cannot be installed: $(tail -n 12 "$log")"
    fi
    printf '%s\n' "$stamp" >"$folder/stamp"
    done_with "$label"
}

install_wheels() {
    local label=$1 folder=$2 lock=$3 log=$4 total count=0 line
    total=$(grep -c '==' "$lock")
    "$folder/bin/python" -m pip install --disable-pip-version-check --no-deps --require-hashes --progress-bar off \
        --requirement "$lock" 2>&1 </dev/null |
        while IFS= read -r line; do
            printf '%s\n' "$line" >>"$log"
            case $line in
                Collecting*)
                    line=${line#Collecting }
                    count=$((count + 1))
                    draw "$label" "$((count * 80 / total))" "${line%%[ =]*}"
                    ;;
                Installing*) draw "$label" 85 "" ;;
            esac
        done
}

# compile_project FOLDER: so that what runs as root finds the bytecode and leaves none of its own in the clone.
compile_project() {
    "$1/bin/python" -m compileall -q "$project/src" >/dev/null || fail "src does not compile."
}

# build_console: the web page that the server shows, in src/atoll/console: npm's packages as the lock file pins them, and
# what esbuild makes of them and our own sources. A stamp, written last, says what it was made of.
build_console() {
    local folder=$project/console stamp
    stamp=$(cat "$folder/package-lock.json" "$folder/build" <(find "$folder/src" -type f -print0 | sort -z |
        xargs -0 sha256sum) | sha256sum)
    if [[ -r $project/build/console.stamp && $(<"$project/build/console.stamp") == "$stamp" &&
        -r $project/src/atoll/console/index.html ]]; then
        return 0
    fi
    rm -f "$project/build/console.stamp"
    install_console_packages
    "$folder/build" >"$project/build/console.log" 2>&1 || fail "the console cannot be built: $(tail -n 12 "$project/build/console.log")"
    printf '%s\n' "$stamp" >"$project/build/console.stamp"
    done_with "Console"
}

# install_console_packages: nothing of them is run but esbuild's and TypeScript's own programs, which need no Node.
install_console_packages() {
    local folder=$project/console log=$project/build/console.log
    if cmp --silent "$folder/package-lock.json" "$folder/node_modules/lock-when-installed"; then
        return 0
    fi
    need_program node nodejs
    need_program npm npm
    mkdir -p "$project/build"
    draw "Console packages" 0
    fetch_console_packages "$folder" "$log" || {
        [[ -t 2 ]] && say ""
        fail "the console's packages cannot be installed: $(grep -v 'npm http' "$log" | tail -n 12)"
    }
    cp "$folder/package-lock.json" "$folder/node_modules/lock-when-installed"
    done_with "Console packages"
}

fetch_console_packages() {
    local folder=$1 log=$2 total count=0 line
    total=$(grep -c '"integrity"' "$folder/package-lock.json")
    : >"$log"
    npm --prefix "$folder" ci --ignore-scripts --no-audit --no-fund --no-progress --loglevel=http 2>&1 </dev/null |
        while IFS= read -r line; do
            printf '%s\n' "$line" >>"$log"
            if [[ $line == 'npm http'* ]]; then
                count=$((count < total ? count + 1 : total))
                draw "Console packages" "$((count * 95 / total))"
            fi
        done
}

# make_user: the system users that the server, preloaded Pythons and the process that lets containers out run as.
make_user() {
    local name
    for name in atoll atoll-zygote atoll-egress; do
        id -u "$name" >/dev/null 2>&1 ||
            as_root useradd --system --user-group --no-create-home --home-dir /nonexistent \
                --shell /usr/sbin/nologin "$name"
    done
}
