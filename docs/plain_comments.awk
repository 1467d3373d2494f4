# Doxygen's INPUT_FILTER: shows it the plain // contract comments of our headers as documentation.
#
#   a block of // lines            documents what follows it; the file's first one the file
#   int x;  // text                documents x
#   lines indented by 3 or more    code, or a table
#   // --- Heading ---             nothing
#   the inside of a function       nothing
#   a class's example              stands at those too that follow it without a blank line
#   the file's example             stands at its other classes

function open_code() { if (!code) { print indent "/// @code{.unparsed}"; code = 1 } }
function close_code() { if (code) { print indent "/// @endcode"; code = 0 } }

# Words that mean something to Doxygen are only words here, but for `code`.
function plain(text,   quoted) {
  gsub(/[\\@<>#%$&"]/, "\\\\&", text)
  gsub(/::/, "\\::", text)
  while (match(text, /`[^`]+`/)) {
    quoted = substr(text, RSTART + 1, RLENGTH - 2)
    text = substr(text, 1, RSTART - 1) "<tt>" quoted "</tt>" substr(text, RSTART + RLENGTH)
  }
  return text
}

# Where a comment after code begins, 0 if there is none: the last "//" outside of a string.
function comment_after_code(line,   i, in_string, c) {
  for (i = 1; i < length(line); ++i) {
    c = substr(line, i, 1)
    if (c == "\\") { ++i; continue }
    if (c == "\"") in_string = !in_string
    if (!in_string && substr(line, i, 2) == "//") return i
  }
  return 0
}

function count(text, letter,   copy) { copy = text; return gsub(letter, "", copy) }

{
  first = match($0, /[^ ]/)
  if (first && substr($0, first, 2) == "//" && depth == 0) {
    indent = substr($0, 1, first - 1)
    text = substr($0, first + 2)
    if (text ~ /^ --- / || text ~ /^ NOLINT/) next
    # A comment that goes on under one after code belongs to it.
    if (first == after) { print indent "///<" plain(text); next }
    if (!seen) { print "/// @file"; seen = 1 }
    if (text ~ /^   /) {
      open_code()
      if (!header_done) example = example "/// " substr(text, 4) "\n"
      else own_example = own_example "/// " substr(text, 4) "\n"
      print indent "/// " substr(text, 4)
    } else if (code && text == "") {
      print indent "///"
      if (!header_done) example = example "///\n"
    } else {
      close_code()
      print indent "///" plain(text)
    }
    next
  }
  close_code()
  seen = 1
  header_done = 1
  # A template's first line waits for the second, which tells whether it is a class.
  if (!held && /^template <.*>$/) { held = $0; next }
  if ($0 == "") shared = ""
  if (/^(class|struct) [A-Za-z:]+.*\{/) {
    if (own_example != "") shared = own_example
    else if (shared example != "")
      printf "/// @par Example\n/// @code{.unparsed}\n%s/// @endcode\n",
             shared != "" ? shared : example
  }
  own_example = ""
  if (held) { print held; held = "" }
  sub(/struct fmt::formatter</, "struct fmt_formatter<")  # a scope that Doxygen doesn't know

  # The body of an inline function starts where a line that is no type or namespace opens a brace.
  at = comment_after_code($0)
  code_part = at ? substr($0, 1, at - 1) : $0
  if (depth == 0 && code_part ~ /\{[^}]*$/ &&
      code_part !~ /(^|[ >])(namespace|struct|class|enum|union|extern)[ "{]/) depth = 1
  else if (depth > 0) depth += count(code_part, "{") - count(code_part, "}")
  if (depth < 0) depth = 0

  after = 0
  if (at && depth == 0 && code_part !~ /^ *[}#]/ && substr($0, at) !~ /NOLINT/) {
    after = at
    print code_part "///<" plain(substr($0, at + 2))
  } else {
    print code_part
  }
}
