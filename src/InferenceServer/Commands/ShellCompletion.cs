namespace InferenceServer.Commands;

/// <summary>Scripts that have a shell ask this program how a command line goes on.</summary>
internal static class ShellCompletion
{
    public static IReadOnlyList<string> Shells { get; } = ["bash", "zsh", "fish"];

    public static string Script(string shell) => shell switch
    {
        "bash" => Bash,
        "zsh" => Zsh,
        _ => Fish,
    };

    // Bash ends words at colons, which names have: what is before the last one must not be repeated.
    private const string Bash = """
        _inference_server() {
          local line="${COMP_LINE:0:COMP_POINT}" word before reply
          word="${line##*[[:space:]]}"
          before=""
          if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then before="${word%"${word##*:}"}"; fi
          COMPREPLY=()
          while IFS= read -r reply; do
            if [[ $reply == "$word"* ]]; then COMPREPLY+=("${reply#"$before"}"); fi
          done < <("${COMP_WORDS[0]}" "[suggest:${COMP_POINT}]" "$line" 2>/dev/null)
        }
        complete -o default -F _inference_server InferenceServer
        """;

    private const string Zsh = """
        #compdef InferenceServer
        _inference_server() {
          local -a replies
          replies=("${(@f)$("${words[1]}" "[suggest:${CURSOR}]" "${BUFFER[1,CURSOR]}" 2>/dev/null)}")
          replies=(${replies:#})
          if (( ${#replies} )); then compadd -- "${replies[@]}"; else _files; fi
        }
        compdef _inference_server InferenceServer
        """;

    private const string Fish = """
        function __inference_server_complete
          set -l line (commandline -cp)
          InferenceServer "[suggest:"(string length -- "$line")"]" "$line" 2>/dev/null
        end
        complete -c InferenceServer -a '(__inference_server_complete)'
        """;
}
