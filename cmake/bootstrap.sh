# Shared by ./train.sh and ./test.sh, which source it from the repository's root: installs what is
# missing, configures and builds. Everything verbose goes to a log; its tail appears on failure.
# shellcheck shell=bash disable=SC2001

# Ninja and the tests catch Ctrl-C themselves; without this the next step would start.
trap 'exit 130' INT

say() { printf '%s\n' "$*"; }

cores() { nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2; }

# logged LOG WHAT COMMAND...: one line on the terminal, the output in LOG.
logged() {
  local log=$1 what=$2 start=$SECONDS
  shift 2
  mkdir -p "$(dirname "$log")"
  printf '%-10s ' "$what"
  if "$@" >"$log" 2>&1 </dev/null; then
    say "done in $((SECONDS - start)) s ($log)"
  else
    say "failed, the end of $log:"
    tail -n 40 "$log"
    return 1
  fi
}

# listed_packages build|all: the lines of the package list, those tagged [all] only for all.
listed_packages() {
  local tagged='/^\[all\]/d'
  [ "$1" != all ] || tagged='s/^\[all\] *//'
  sed "s/#.*//; /^[[:space:]]*$/d; $tagged" cmake/packages.txt
}

installed() {
  [[ $'\n'$(dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null) == *$'\n'installed* ]]
}

available() { [[ $(LC_ALL=C apt-cache policy "$1" 2>/dev/null) == *'Candidate: '[!\(]* ]]; }

# missing_packages build|all: the lines of which no alternative is installed.
missing_packages() {
  local line name
  listed_packages "$1" | while IFS= read -r line; do
    for name in ${line//|/ }; do
      installed "$name" && continue 2
    done
    say "$line"
  done
}

# first_available LINE: the first alternative that apt can install; the first of all if none.
first_available() {
  local name
  for name in ${1//|/ }; do
    available "$name" && { say "$name"; return; }
  done
  say "${1//|*/}" | tr -d ' '
}

# Another apt is waited for; recommended packages would add a desktop's worth. Reads $missing, $as_root.
apt_install() {
  local line names=()
  "${as_root[@]}" apt-get update || say "apt-get update failed; trying with the lists at hand"
  while IFS= read -r line; do
    names+=("$(first_available "$line")")
  done <<<"$missing"
  say "installing ${names[*]}"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
    install -y --no-install-recommends "${names[@]}"
}

# install_missing build|all: silent when everything is there. Its failure need not be the caller's: ccache
# and gnuplot can be done without, and configuring names what cannot.
install_missing() {
  local missing as_root=()
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    # No list of what is installed here: say it before the first build, then configuring checks.
    if [ ! -e build/build.ninja ]; then
      say "This system has no apt. keymix needs the equivalents of these Debian packages:"
      listed_packages "$1" | sed 's/^ */  /'
    fi
    return 0
  fi
  missing=$(missing_packages "$1")
  [ -n "$missing" ] || return 0

  local names
  names=$(sed 's/|.*//' <<<"$missing" | tr -s ' \n' ' ' | sed 's/^ //; s/ $//')
  say "missing    $names"
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      say "error: installing them needs root or sudo, and neither is here. As root, run:" >&2
      say "  apt-get update && apt-get install -y --no-install-recommends $names" >&2
      return 1
    fi
    as_root=(sudo)
  fi
  if ! logged build/log/packages.log packages apt_install; then
    say "error: apt could not install them. Is the network up, and on Ubuntu, is 'universe' enabled?" >&2
    return 1
  fi
}

# configure PRESET FOLDER [OPTION...]
configure() {
  local preset=$1 folder=$2
  shift 2
  command -v cmake >/dev/null || { say "cmake is not installed (Debian package: cmake)" >&2; return 1; }
  logged "$folder/log/configure.log" configure cmake --preset "$preset" "$@"
}

# build FOLDER TARGET...
build() {
  local folder=$1
  shift
  [ -e "$folder/libkeymix.a" ] || say "The first build takes some minutes: $folder/log/build.log"
  logged "$folder/log/build.log" build cmake --build "$folder" --parallel "$(cores)" --target "$@"
}
