package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// bashValues goes behind cobra's script for bash, which breaks words at "=" and would put an offer of "key=value" behind
// the key that stands there already. What it takes off is what stands before the last "=".
const bashValues = `
__finetune_values()
{
    __start_finetune "$@"
    local typed=${COMP_LINE:0:$COMP_POINT}
    typed=${typed##*[[:space:]]}
    if [[ $typed == [^-]*=* && $COMP_WORDBREAKS == *=* ]]; then
        local i
        for i in "${!COMPREPLY[@]}"; do
            COMPREPLY[i]=${COMPREPLY[i]#"${typed%"${typed##*=}"}"}
        done
    fi
}
complete -o default -F __finetune_values finetune
`

// addCompletion adds cobra's command, whose script for bash gets its end.
func (p *program) addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	bash, _, err := root.Find([]string{"completion", "bash"})
	if err != nil {
		return // of a cobra that has none
	}
	write := bash.RunE
	bash.RunE = func(cmd *cobra.Command, args []string) error {
		if err := write(cmd, args); err != nil {
			return err
		}
		_, err := fmt.Fprint(p.stdout, bashValues)
		return err
	}
}
