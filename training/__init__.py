"""The recipe of the built-in prints: one small network, distilled from several teachers."""
