# What is done in a Debian root file system ($1) once its packages are in. Runs confined, as root of a user namespace
# that is nobody on the host. The recipe's wheels are in /tmp/atoll/input/wheels, its files in /tmp/atoll/input/files.
set -eu
root=$1
input=/tmp/atoll/input

# The suites' own names differ, these do not: people's code is uid 1000 `sandbox` in every image.
chroot "$root" groupadd --gid 1000 sandbox
chroot "$root" useradd --uid 1000 --gid 1000 --create-home --shell /bin/bash sandbox
cp -R --no-preserve=mode,ownership "$input/files/." "$root/"
chroot "$root" chown -R 1000:1000 /home/sandbox
mkdir -p "$root/mnt/data" "$root/opt/atoll"

if [ -s "$input/requirements.txt" ]; then
    mkdir "$root/tmp/wheels"
    cp "$input"/wheels/* "$input/requirements.txt" "$root/tmp/wheels/"
    # Debian's own packages stay where they are (pip refuses to remove one); what is installed here is found first.
    chroot "$root" env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/root LC_ALL=C.UTF-8 \
        /usr/bin/python3 -m pip install --isolated --no-index --find-links /tmp/wheels --no-deps --require-hashes \
        --no-compile --no-cache-dir --disable-pip-version-check --root-user-action=ignore --break-system-packages --progress-bar off \
        --ignore-installed \
        --requirement /tmp/wheels/requirements.txt
    rm -r "$root/tmp/wheels"
    echo "atoll: compiling $(find "$root/usr/local/lib" -name '*.py' | wc -l) files"
    # Some packages carry files that are not meant for this Python: what does not compile is left alone.
    chroot "$root" /usr/bin/python3 -u -m compileall -j 0 /usr/local/lib 2>/dev/null || true
fi

# People may install packages into their home, as in any virtual machine of theirs.
rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED

if chroot "$root" /usr/bin/python3 -c 'import matplotlib' 2>/dev/null; then
    echo "atoll: listing fonts"
    # Otherwise the first figure of every container would wait for it.
    chroot --userspec=1000:1000 "$root" env -i PATH=/usr/bin:/bin HOME=/home/sandbox LC_ALL=C.UTF-8 \
        /usr/bin/python3 -c 'import matplotlib.font_manager'
fi

echo "atoll: cleaning"
find "$root/usr/share/doc" -mindepth 1 -not -name copyright -not -type d -delete
rm -rf "$root"/usr/share/man/* "$root"/usr/share/info/* "$root"/usr/share/lintian "$root"/var/log/* \
    "$root"/var/cache/* "$root/root/.cache" \
    "$root/etc/apt/apt.conf.d/99mmdebstrap" "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap" "$root/etc/machine-id"
: > "$root/etc/machine-id"
