"""What happens to the gradient while a network trains, whatever the framework."""
