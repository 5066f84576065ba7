package config_test

// A configuration can be read once the methods have declared their keys, as in a program.
import _ "github.com/metatt/metatt/pkg/methods"
