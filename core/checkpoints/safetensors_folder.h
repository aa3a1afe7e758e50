// SPDX-License-Identifier: GPL-3.0-or-later
// A folder as Hugging Face's tools load it: safetensors, config.json and what else belongs to a model. For use inside
// this room.
#pragma once

#include "core/checkpoints/checkpoint_target.h"
#include "core/checkpoints/float_bytes.h"

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace quantloupe {

/// Where the files beside the model are.
std::filesystem::path modelFolder(const Model& model);

/// Adds a stored tensor and returns its index.
std::size_t addStored(CheckpointDraft& draft, std::string name, DType dtype, Shape shape);

/// A draft of a folder with the files that go along with the weights (tokenizer and the like), and without tensors.
CheckpointDraft folderDraft(const CheckpointRequest& request);

/// The config.json beside the model; an empty object where there is none. Errors: Malformed, CannotOpen.
Result<nlohmann::ordered_json> configBeside(const Model& model);

/// A small text file of the folder.
void addTextFile(CheckpointDraft& draft, std::string name, std::string text);

/// Places the stored tensors in shards of at most `shardBytes`, with an index where there are several. The parts of one
/// module stay together. Inside a file: by the size of their type, the largest first, then by name, so that each is
/// aligned. Source: https://github.com/huggingface/safetensors#format and interop notes on checkpoints, section 3.
void layOutSafetensors(CheckpointDraft& draft, std::uint64_t shardBytes);

/// Plans that a tensor goes over as it is: its bytes where they lie plainly, else as floats of `type` (which is told).
void addKept(CheckpointDraft& draft, const CheckpointRequest& request, std::size_t tensor, std::string why = {});

/// Plans that a tensor is written as plain floats of its scheme's format.
void addFloats(CheckpointDraft& draft, const CheckpointRequest& request, std::size_t tensor, const Scheme& scheme);

/// "model.layers.0.mlp.up_proj" of the weight of that module; empty where the tensor is no weight of a module.
std::string_view moduleOfWeight(std::string_view tensorName);

}  // namespace quantloupe
