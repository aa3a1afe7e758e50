// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/file_formats/pickle_machine.h"

#include <string>
#include <vector>

namespace quantloupe {

struct TorchStateEntry {
    std::string name;
    std::uint32_t tensor = 0;  ///< into PickleHeap::tensors
};

/// The named tensors of a pickled object.
struct TorchState {
    std::vector<TorchStateEntry> entries;  ///< in the order of the pickle
    std::vector<std::string> foreign;      ///< names of tensors that are not read
    std::string taken;                     ///< key of the dictionary they are in; empty for the object itself
    std::vector<std::string> left;         ///< other keys whose dictionaries hold tensors
};

/// Finds the state dict: the object itself, or what a checkpoint of a training run keeps under `state_dict`, `model`
/// and the like, the one with most tensors; of a TorchScript module the tensors of its tree, by their paths. Errors:
/// Unsupported where there are no tensors, Malformed for names that are not UTF-8, nesting deeper than 64.
/// Source: interop notes, section 5.5.
Result<TorchState> findTorchState(const Pickle& pickle, const std::string& where);

}  // namespace quantloupe
