//! Gateways with one mistake each: the checks that must find it, shown to find it.
