package main

import "github.com/spf13/cobra"

func (a *app) taskCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "task",
		Short: "Show and steer single tasks",
		Example: `  throttlectl task list -q emails --state dead
  throttlectl task show order-4711
  throttlectl task explain order-4711`,
	}
	c.AddCommand(a.taskListCommand(), a.taskShowCommand(), a.taskExplainCommand(), a.taskCancelCommand(), a.taskRetryCommand())
	return c
}
