"""What a study is: configuration, sheet, epsilons, targets, where its files lie, what its jobs say of themselves."""
