/** The shells' side of completion: each asks `sagrada completion words` with the words before the cursor. */

/** Words are cut at white space only, as we read them, whatever else bash cuts at; what it replaces is cut as it does. */
export const bash = `# bash completion of sagrada
_sagrada() {
  local line=\${COMP_LINE:0:COMP_POINT} words=() word= cut answer value files=none candidates=() i
  for ((i = 0; i <= COMP_CWORD; i++)); do
    # bash also cuts at : and =, with no space before
    while [[ $line == [[:space:]]* ]]; do
      line=\${line#?}
      if [[ -n $word ]]; then words+=("$word"); word=; fi
    done
    cut=\${COMP_WORDS[i]}
    if ((\${#cut} > \${#line})); then cut=$line; fi
    word+=$cut
    line=\${line:\${#cut}}
  done
  local quote=
  if [[ $word == [\\"\\']* ]]; then
    quote=\${word:0:1} word=\${word:1}
  else
    cut=$word word=
    while [[ $cut == *\\\\* ]]; do
      word+=\${cut%%\\\\*}
      cut=\${cut#*\\\\}
      word+=\${cut:0:1}
      cut=\${cut:1}
    done
    word+=$cut
  fi
  answer=$("\${COMP_WORDS[0]}" completion words -- "\${words[@]:1}" "$word" 2>/dev/null) || return
  while IFS=$'\\t' read -r value _; do
    case $value in
      :files | :folders | :none) files=\${value#:} ;;
      *) candidates+=("$value") ;;
    esac
  done <<<"$answer"
  local breaks= prefix=
  [[ $COMP_WORDBREAKS == *:* ]] && breaks+=:
  [[ $COMP_WORDBREAKS == *=* ]] && breaks+==
  if [[ -z $quote && -n $breaks ]]; then prefix=\${word%"\${word##*[$breaks]}"}; fi
  COMPREPLY=()
  for value in "\${candidates[@]}"; do
    value=\${value#"$prefix"}
    if [[ -z $quote && $value == *[![:alnum:]_./:=,@+%-]* ]]; then printf -v value %q "$value"; fi
    COMPREPLY+=("$value")
  done
  if [[ $files != none ]]; then
    compopt -o filenames
    local kind=-f
    [[ $files == folders ]] && kind=-d
    while IFS= read -r value; do COMPREPLY+=("$value"); done < <(compgen $kind -- "\${word#"$prefix"}")
  fi
}
complete -F _sagrada sagrada
`;

export const zsh = `#compdef sagrada
# zsh completion of sagrada
_sagrada() {
  local answer value doc files=none line
  local -a described
  answer=$("\${(Q)words[1]}" completion words -- "\${(@Q)words[2,CURRENT-1]}" "\${(Q)PREFIX}" 2>/dev/null) || return
  for line in "\${(@f)answer}"; do
    value=\${line%%$'\\t'*}
    doc=\${line#*$'\\t'}
    case $value in
      (:files | :folders | :none) files=\${value#:} ;;
      (*) described+=("\${value//:/\\\\:}:$doc") ;;
    esac
  done
  if (( \${#described} )); then _describe -V sagrada described; fi
  if [[ $files != none ]]; then
    # of --option=FILE the option stays
    if [[ $PREFIX == --*=* ]]; then compset -P '*='; fi
    if [[ $files == folders ]]; then _files -/; else _files; fi
  fi
}
if [[ \${funcstack[1]} == _sagrada ]]; then _sagrada "$@"; else compdef _sagrada sagrada; fi
`;

export const fish = `# fish completion of sagrada
function __sagrada_complete
  set -l before (commandline -opc)
  set -l current (string unescape -- (commandline -ct))
  set -l files none
  for line in ($before[1] completion words -- $before[2..] "$current" 2>/dev/null)
    switch $line
      case ':files' ':folders' ':none'
        set files (string sub -s 2 -- $line)
      case '*'
        echo $line
    end
  end
  # of --option=FILE the option stays
  set -l prefix (string match -r -- '^--[^=]*=' $current)
  set -l start (string replace -r -- '^--[^=]*=' '' $current)
  switch $files
    case files
      for path in (__fish_complete_path $start)
        echo "$prefix$path"
      end
    case folders
      for path in (__fish_complete_directories $start '')
        echo "$prefix$path"
      end
  end
end
complete -c sagrada -f -a '(__sagrada_complete)'
`;
