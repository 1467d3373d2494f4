#!/usr/bin/env bash
# Prints figures about the code, those of docs/architecture.md: what each room includes, the largest files, how many
# methods a backend has, how many names are public. Run it in the repository's root.
set -euo pipefail

rooms=(core backends autograd ops nn examples)
sources() { find "$1" \( -name '*.h' -o -name '*.cpp' \) | sort; }

echo "| includes of | ${rooms[*]/%/ |}"
echo "|---|$(printf -- '---|%.0s' "${rooms[@]}")"
for from in "${rooms[@]}"; do
  line="| \`$from\` |"
  for to in "${rooms[@]}"; do
    prefix="keymix/$to/"
    [ "$to" != examples ] || prefix='(listops|language_model|flags)/'
    line+=" $(sources "$from" | xargs cat | grep -cE "^#include \"$prefix" || true) |"
  done
  echo "$line"
done

echo
echo '| lines | files | room |'
echo '|---|---|---|'
for room in "${rooms[@]}" tests benchmarks; do
  echo "| $(sources "$room" | xargs cat | wc -l) | $(sources "$room" | wc -l) | \`$room\` |"
done

echo
echo 'Ten largest files:'
for room in "${rooms[@]}" tests benchmarks; do sources "$room"; done | xargs wc -l | grep -v ' total$' |
  sort -rn | sed -n '1,10s/^ *\([0-9]*\) \(.*\)/- `\2`: \1/p'

echo
virtual=$(grep -E '^  virtual ' backends/backend.h | grep -v '~')
echo "Backend methods: $(grep -c . <<<"$virtual"), of which $(grep -c '{ return false; }' <<<"$virtual")" \
  "are fused kernels that may decline"

# Of the umbrella's headers: functions and methods outside private parts, and types. Each name counts once a room.
echo
echo 'Public names: room, functions and methods, types:'
for room in "${rooms[@]:0:5}"; do
  echo "- \`$room\`: $(grep -oE "keymix/$room/[^\"]+" keymix.h | sed 's|^keymix/||' | xargs awk '
    FNR == 1 { hidden = internal = 0 }
    /^ *\/\// || /^#/ { next }
    /^ (private|protected):/ { hidden = 1 }
    /^ public:/ || /^};/ { hidden = 0 }
    /^namespace .*detail {$/ { internal = FNR }
    /^}  \/\/ namespace .*detail/ || (/^}$/ && FNR == internal + 2) { internal = 0 }
    hidden || internal { next }
    !/;$/ && match($0, /^ ? ?(enum class|struct|class) [A-Za-z]+/) || match($0, /^ ? ?using [A-Za-z]+ =/) {
      split(substr($0, RSTART, RLENGTH), word, " ")
      name = word[1] == "enum" ? word[3] : word[2]
      if (name != "fmt") types[name] = 1
    }
    !/^ *(return|throw|if|for|using|else) / && match($0, /^ ? ?[A-Za-z_:[][A-Za-z_0-9:<>, &*\]]* [*&]*[a-z_][a-z_0-9]*\(/) {
      name = substr($0, RSTART, RLENGTH - 1)
      sub(/.*[ *&]/, "", name)
      if (name != "operator") functions[name] = 1
    }
    END {
      for (name in functions) ++f
      for (name in types) ++t
      print f + 0 ", " t + 0
    }')"
done

# Six or more lines in a row, blank ones and comments aside, that stand word for word in two places.
echo
echo 'Places that repeat each other, and from which line on:'
for room in "${rooms[@]}" tests benchmarks; do sources "$room"; done | xargs awk '
  FNR == 1 { filled = 0 }
  { text = $0; sub(/^[ \t]+/, "", text) }
  text ~ /^($|\/\/|#include|using |namespace|}  \/\/ namespace)/ { next }
  {
    ++filled; line[filled] = text; number[filled] = FNR
    if (filled < 6) next
    window = line[filled]
    for (i = filled - 5; i < filled; ++i) window = window "\n" line[i]
    if (!(window in seen)) { seen[window] = FILENAME ":" number[filled - 5]; next }
    split(seen[window], place, ":")
    pair = place[1] " " FILENAME
    if (!(pair in runs)) first[pair] = "- `" seen[window] "` and `" FILENAME ":" number[filled - 5] "`"
    runs[pair] = 1
  }
  END { for (pair in runs) { print first[pair]; ++pairs }; print pairs + 0 " pairs of files" }' | sort
