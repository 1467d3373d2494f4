#!/usr/bin/env bash
# Installs what is missing, builds everything and runs the tests. See ./test.sh --help.
# shellcheck disable=SC2001  # sed works on lines, which ${name//a/b} does not
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1
# shellcheck source=cmake/bootstrap.sh
. cmake/bootstrap.sh

usage() {
  cat <<'EOT'
usage: ./test.sh [--all] [--filter EXPR] [ARGUMENT...]

Without --filter the tests run a second time, on the reference backend (tests/reference_backend).

  --all          after the tests, by clang: AddressSanitizer + UBSan on all but the slow tests,
                 ThreadSanitizer on the tests tagged [threads], a short fuzzing of the file readers,
                 every other source and every header alone; that no public header leads to BLAS and
                 the like; and the reference of all classes by Doxygen, with an example on each page
  --filter EXPR  only the test cases that EXPR names, as Catch2 writes it: "softmax*", "[unit]"
  ARGUMENT...    passed on to the test program, for example --list-tests or --durations yes

Logs are in build*/log. The last line is `N passed, N failed, N skipped`: test cases, each counted in
every pass that runs it, and for clang files. The exit status is 0 if nothing failed.
EOT
}

all='' filter='' arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --all) all=all ;;
    --filter)
      [ $# -ge 2 ] || { say "test.sh: --filter needs an expression; see ./test.sh --help" >&2; exit 2; }
      filter=$2
      shift
      ;;
    --filter=*) filter=${1#*=} ;;
    --help | -h) usage; exit 0 ;;
    *) arguments+=("$1") ;;
  esac
  shift
done

passed=0 failed=0 skipped=0 table='' skips=''

# add NAME PASSED FAILED SKIPPED: one line of the table at the end.
add() {
  passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + $4))
  table+=$(printf '%-10s %5d passed %5d failed %5d skipped' "$@")$'\n'
}

# run_tests NAME FOLDER SPEC COMMAND...: COMMAND is the test program, with a wrapper if it needs one. It
# is run once for every label, side by side; where the caller chose tests or options, once.
run_tests() {
  local name=$1 folder=$2 spec=$3 log=$2/log/$1 start=$SECONDS count=0 bad=0 skip=0 cases notes part
  shift 3
  rm -f "$log"*.log
  if [ -n "$filter${arguments[*]-}" ]; then
    spec=${filter:-$spec}
    { "$@" ${spec:+"$spec"} ${arguments[@]+"${arguments[@]}"} </dev/null 2>&1
      printf '\nended with status %s\n' $?; } | tee "$log.log"
  else
    printf '%-10s ' "$name"
    # shellcheck disable=SC2016  # the inner shell's: log, spec, command..., label
    printf '%s\0' unit gradcheck parity golden slow | xargs -0 -n 1 -P "$(cores)" bash -c '
      label=${!#}
      [[ $2 != *"~[$label]"* ]] || exit 0
      { "${@:3:$#-3}" "[$label]$2" </dev/null 2>&1; printf "\nended with status %s\n" $?; } >"$1-$label.log"' \
      _ "$log" "$spec" "$@"
    say "done in $((SECONDS - start)) s ($log-*.log)"
  fi

  for part in "$log"*.log; do
    count_cases "$part"
  done
  # A run of nothing is a typing error, or a crash that swallowed the totals.
  if [ "$count" -eq 0 ] && [ "$bad" -eq 0 ]; then
    say "$name: no test case was counted"
    bad=1 count=1
  fi
  notes=$(cat "$log"*.log | sed -n 's/^SKIPPED: //p' | sort -u)
  if [ -n "$notes" ]; then
    skip=$(wc -l <<<"$notes")
    skips+=$(sed "s/^/skipped ($name): /" <<<"$notes")$'\n'
  fi
  add "$name" $((count - bad - skip)) "$bad" "$skip"
}

# count_cases LOG: adds what a run of the test program says at its end to run_tests' count and bad, and
# shows the log if anything in it failed.
count_cases() {
  local status totals cases=0 failed_here=0
  status=$(sed -n '$s/^ended with status //p' "$1")
  totals=$(grep -E '^(All tests passed|test cases:)' "$1" | tail -n 1)
  case $totals in
    'All tests passed'*) cases=$(sed -E 's/.* in ([0-9]+) test case.*/\1/' <<<"$totals") ;;
    'test cases:'*)
      cases=$(sed -E 's/^test cases: *([0-9]+).*/\1/' <<<"$totals")
      failed_here=$(sed -nE 's/.*\| *([0-9]+) failed( \||$).*/\1/p' <<<"$totals")
      failed_here=${failed_here:-0}
      ;;
    *) # Either no test carries this label together with the other tags, or the program ended early,
      # and then its status, even 0, says nothing.
      if grep -q '^No test' "$1"; then status=0; else status=1; fi
      ;;
  esac
  # Under ptrace, or in a chroot without /proc, leaks cannot be looked for: that is no test's failure.
  if [ "$cases" -gt 0 ] && grep -q 'LeakSanitizer has encountered a fatal error' "$1"; then
    say 'SKIPPED: leak check: LeakSanitizer cannot run here (ptrace, or no /proc)' >>"$1"
    status=0 cases=$((cases + 1))
  fi
  # A sanitizer may speak up after the last test; a crash leaves no totals.
  if [ "${status:-1}" -ne 0 ] && [ "$failed_here" -eq 0 ]; then
    failed_here=1 cases=$((cases + 1))
  fi
  if [ "$failed_here" -gt 0 ] && [ -z "$filter${arguments[*]-}" ]; then
    cat "$1"
  fi
  count=$((count + cases)) bad=$((bad + failed_here))
}

# run_script NAME SCRIPT...: a script that ends with "N passed, N failed" and names what failed.
run_script() {
  local name=$1 log=build/log/$1.log totals
  shift
  mkdir -p build/log
  "$@" </dev/null >"$log" 2>&1
  local status=$? bad
  totals=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
  bad=$(sed -nE 's/.*, ([0-9]+) failed$/\1/p' <<<"$totals")
  if [ "$status" -ne 0 ]; then
    cat "$log"
    [ "${bad:-0}" -gt 0 ] || bad=1
  else
    printf '%-10s %s (%s)\n' "$name" "${totals:-said nothing}" "$log"
    [ -n "$totals" ] || bad=1
  fi
  skips+=$(sed -n "s/^SKIPPED: /skipped ($name): /p" "$log")
  [ -z "$skips" ] || skips=${skips%$'\n'}$'\n'
  add "$name" "$(sed -nE 's/^([0-9]+) passed.*/\1/p' <<<"${totals:-0 passed}")" "$bad" \
    "$(grep -c '^SKIPPED: ' "$log")"
}

# run_fuzzers FOLDER: three seconds for every target, always the same inputs from the first on; and
# two thousand inputs of libFuzzer's.
run_fuzzers() {
  local program name status log=$1/log/fuzz.log bad=0 count=0 skip=0
  mkdir -p "$1/log" && : >"$log"
  for program in "$1"/tests/fuzz/seeded_*; do
    [ -x "$program" ] || continue
    count=$((count + 1))
    (cd "$1/log" && "$OLDPWD/$program" --seconds 3) </dev/null >"$log.one" 2>&1 || bad=$((bad + 1))
    cat "$log.one"
    cat "$log.one" >>"$log"
  done
  [ "$count" -gt 0 ] || { say "fuzz: no program was built" && bad=1 count=1; }
  # libFuzzer's, where clang has it: that they link, take the seeds and run. New inputs join the
  # seeds, so these are written anew.
  for program in "$1"/tests/fuzz/libfuzzer_*; do
    [ -x "$program" ] || continue
    count=$((count + 1)) name=${program##*/libfuzzer_}
    rm -rf "$1/log/corpus_$name" && mkdir "$1/log/corpus_$name"
    {
      "$1/tests/fuzz/seeded_$name" --write-seeds "$1/log/corpus_$name" &&
        "$program" -seed=1 -runs=2000 -timeout=60 -artifact_prefix="$1/log/$name-" "$1/log/corpus_$name"
    } </dev/null >"$log.one" 2>&1
    status=$?
    cat "$log.one" >>"$log"
    if [ "$status" -ne 0 ]; then
      say "libfuzzer_$name: FAILED"
      cat "$log.one"
      bad=$((bad + 1))
    else
      say "libfuzzer_$name: $(sed -n 's/^Done \(.*\) in .*/\1/p' "$log.one")"
    fi
  done
  rm -f "$log.one"
  if ! compgen -G "$1/tests/fuzz/libfuzzer_*" >/dev/null; then
    skip=1
    skips+="skipped (fuzz): libFuzzer's programs: this compiler has no -fsanitize=fuzzer"$'\n'
  fi
  add fuzz $((count - bad)) "$bad" "$skip"
}

# What clang has not compiled for the sanitizers, without generating code: the programs themselves,
# benchmarks, and every public header on its own.
syntax_pass() {
  local folder=build-clang commands headers flags log=build-clang/log/syntax.log bad
  if ! configure cpu $folder -B $folder "${with_clang[@]}" -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON; then
    add clang 0 1 0
    return
  fi

  # One shell command a line, unescaped from the JSON.
  commands=$(sed -n 's/^ *"command": "\(.*\)",\{0,1\}$/\1/p' $folder/compile_commands.json |
    sed 's/\\\(.\)/\1/g')
  headers=$(find keymix.h core autograd ops nn backends -name '*.h' ! -name '*[-_]inl.h' | sort)
  # A header sees what the library's own sources see.
  flags=$(sed -n "s|^\(.*\) -o .* -c $PWD/core/.*|\1|p" <<<"$commands" | head -n 1)

  rm -rf $folder/leads_to
  # shellcheck disable=SC2046  # one folder a word
  mkdir -p $(dirname $(sed "s|^|$folder/leads_to/|" <<<"$headers"))
  {
    grep -E " -c $PWD/(examples/tutorials/|examples/[a-z_]+/main|benchmarks/|tests/tools/)" <<<"$commands" |
      sed -E 's/ -o [^ ]+ -c / -fsyntax-only /'
    sed "s|.*|$flags -MD -MF $folder/leads_to/& -fsyntax-only -x c++ - <<<'#include \"keymix/&\"'|" \
      <<<"$headers"
  } >$folder/log/syntax.commands
  logged "$log" syntax check_each $folder/log/syntax.commands
  bad=$(grep -c '^FAILED: ' "$log")
  add clang $(($(wc -l <$folder/log/syntax.commands) - bad)) "$bad" 0

  light_headers $folder/public_headers.txt $folder/leads_to
}

# light_headers LIST FOLDER: no public header leads to a package that is none of its user's business.
# FOLDER has, under each header's name, what it includes, as the compiler saw it.
light_headers() {
  local header heavy bad=0 count=0
  while IFS= read -r header; do
    case $header in *[-_]inl.h) continue ;; esac  # a part of another header
    count=$((count + 1))
    if [ ! -s "$2/$header" ]; then
      heavy='nothing: the compiler never came to its end'
    else
      heavy=$(grep -oE '[^ ]*/(cblas[^ /]*\.h|f77blas\.h|hwy/[^ ]+|cuda[^ /]*\.h|cublas[^ /]*\.h|nlohmann/[^ ]+|zlib\.h)' \
        "$2/$header" | head -n 1)
    fi
    [ -n "$heavy" ] || continue
    say "FAILED: the public header $header leads to $heavy"
    bad=$((bad + 1))
  done <"$1"
  add interface $((count - bad)) "$bad" 0
}

# example_fits PAGE: whether an example on a class's page has the class's name. Options and a kernel's arguments
# are written as braces: a field will do, with the name of what takes them. That is Adam for AdamOptions, topk()
# for TopkOptions, bias_gelu_forward() for BiasGeluArgs.
example_fits() {
  local class=${1%.html} text function field
  class=${class##*_1_1}
  text=$(sed -n '/class="fragment"/,/<!-- fragment -->/{s/.*class="fragment">//; s/<[^>]*>/ /g; p;}' "$1")
  grep -qw "$class" <<<"$text" && return
  [[ $class =~ ^(.+)(Options|Args)$ ]] || return
  class=${BASH_REMATCH[1]}
  function=$(sed -E 's/([a-z0-9])([A-Z])/\1_\2/g; s/([A-Z])([A-Z][a-z])/\1_\2/g' <<<"$class")
  grep -qE "\\b$class\\b|(\\b|_)${function,,}(\\b|_)" <<<"$text" || return
  for field in $(grep -oE '\.[a-z0-9_]+ = ' <<<"$text" | tr -d '.='); do
    grep -q ">$field</a>" "$1" && return
  done
  return 1
}

# The reference of the public headers: no warning, and a fitting example on every class's page.
reference_pass() {
  local page bad=0 count=0
  if ! logged build/log/reference.log reference cmake --build build --target docs; then
    add docs 0 1 0
    return
  fi
  for page in build/reference/html/{class,struct}keymix*.html; do
    # Not of lists of members, nor of specialisations: these files' names are not their class's.
    [[ $page != *-members.html && $page != *DTypeOf* ]] || continue
    count=$((count + 1))
    example_fits "$page" && continue
    say "FAILED: no example names the class of $page: write one in the comment above the class," \
      "or at the head of its header"
    bad=$((bad + 1))
  done
  [ "$count" -gt 0 ] || bad=1 count=1
  add docs $((count - bad)) "$bad" 0
}

# check_each FILE: runs its lines side by side, and keeps each one's output together.
check_each() {
  # shellcheck disable=SC2016  # $1 is the inner shell's
  tr '\n' '\0' <"$1" | xargs -0 -n 1 -P "$(cores)" bash -c '
    output=$(eval "$1" 2>&1) || { printf "FAILED: %s\n%s\n" "${1##*-fsyntax-only }" "$output"; exit 1; }' _
}

install_missing "${all:-build}"

# Not otherwise: ./train.sh builds here too, and another flag would compile everything again.
if configure cpu build "-DKEYMIX_WERROR=${all:+ON}" && build build all; then
  case " ${arguments[*]-} " in
    *' --list-'*) exec build/tests/keymix_tests ${filter:+"$filter"} "${arguments[@]}" ;;
  esac
  run_tests tests build '' build/tests/keymix_tests
  # Again, with plain loops and no fused kernel in the place of the CPU's kernels.
  [ -n "$filter" ] || run_tests reference build '~[cpu]~[slow]' \
    env KEYMIX_TEST_BACKEND=reference build/tests/keymix_tests
  # A test case without a label would be missed by whoever runs the labels.
  unlabelled=$(build/tests/keymix_tests --list-tests '~[unit]~[gradcheck]~[parity]~[golden]~[slow]')
  if ! grep -q '^0 matching' <<<"$unlabelled"; then
    say "Without a label [unit], [gradcheck], [parity], [golden] or [slow]:" "$unlabelled"
    add labels 0 1 0
  fi
  # Not when only some tests were asked for.
  [ -n "$filter${arguments[*]-}" ] || run_script outside tests/outside_project/run.sh build ${all:+--docs}
else
  add build 0 1 0
fi

if [ -n "$all" ]; then
  # The sanitizers by clang: it takes a third less time than g++, and is the second compiler that every
  # source has to please.
  with_clang=()
  for clang in clang++-16 clang++-17 clang++-18 clang++-19 clang++-20 clang++; do
    "$clang" -x c++ -fsanitize=address - -o /dev/null <<<'int main() {}' 2>/dev/null || continue
    with_clang=("-DCMAKE_CXX_COMPILER=$clang" -DKEYMIX_WERROR=ON)
    break
  done
  # Lines in the reports: clang's own symbolizer is a package of its own.
  for options in ASAN UBSAN TSAN; do
    export "${options}_OPTIONS=allow_addr2line=1:print_stacktrace=1:$(printenv "${options}_OPTIONS")"
  done

  if configure asan build-asan ${with_clang[@]+"${with_clang[@]}"} &&
    build build-asan keymix_tests fuzz libfuzzer; then
    run_tests asan build-asan '~[slow]' build-asan/tests/keymix_tests
    [ -n "$filter${arguments[*]-}" ] || run_fuzzers build-asan
  else
    add asan 0 1 0
  fi

  # Where the kernel randomises addresses widely, ThreadSanitizer finds no room for its shadow memory;
  # containers may forbid to ask for fixed ones.
  fixed_addresses=()
  setarch -R true 2>/dev/null && fixed_addresses=(setarch -R)
  if configure tsan build-tsan ${with_clang[@]+"${with_clang[@]}"} && build build-tsan keymix_tests; then
    run_tests tsan build-tsan '[threads]' \
      ${fixed_addresses[@]+"${fixed_addresses[@]}"} build-tsan/tests/keymix_tests
  else
    add tsan 0 1 0
  fi

  if [ ${#with_clang[@]} -gt 0 ]; then
    syntax_pass
  else
    say 'clang: no clang++ 16 or newer with its sanitizers (clang-N and libclang-rt-N-dev, of one version)'
    add clang 0 1 0
  fi
  reference_pass
fi

say ''
[ -z "$all" ] || printf '%s' "$table"
printf '%s' "$skips"
say "took $((SECONDS / 60)) min $((SECONDS % 60)) s"
say "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
