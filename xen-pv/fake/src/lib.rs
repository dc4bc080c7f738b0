#![no_std]
#![doc = "Spore."]
