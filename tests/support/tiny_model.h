// SPDX-License-Identifier: GPL-3.0-or-later
// A small llama-like checkpoint for tests of the window, written as safetensors.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace quantloupe::tests {

/// Embedding, `blocks` blocks of q, k, v, o, gate, up, down and a norm, and an output head; FP32, hidden size `hidden`.
/// 8 tensors per block. The same bytes for the same arguments.
inline std::filesystem::path writeTinyModel(const std::filesystem::path& path, unsigned blocks, unsigned hidden)
{
    std::vector<std::pair<std::string, std::vector<unsigned>>> tensors {
        {"model.embed_tokens.weight", {2 * hidden, hidden}}};
    for (unsigned block = 0; block < blocks; ++block) {
        const auto prefix = "model.layers." + std::to_string(block);
        tensors.push_back({prefix + ".input_layernorm.weight", {hidden}});
        for (const auto* name : {"q_proj", "k_proj", "v_proj", "o_proj"})
            tensors.push_back({prefix + ".self_attn." + name + ".weight", {hidden, hidden}});
        tensors.push_back({prefix + ".mlp.gate_proj.weight", {2 * hidden, hidden}});
        tensors.push_back({prefix + ".mlp.up_proj.weight", {2 * hidden, hidden}});
        tensors.push_back({prefix + ".mlp.down_proj.weight", {hidden, 2 * hidden}});
    }
    tensors.push_back({"lm_head.weight", {2 * hidden, hidden}});

    std::string header = "{";
    std::uint64_t end = 0;
    for (const auto& [name, shape] : tensors) {
        std::uint64_t elements = 1;
        std::string extents;
        for (const auto extent : shape) {
            elements *= extent;
            extents.append(extents.empty() ? "" : ",").append(std::to_string(extent));
        }
        header.append(header.size() > 1 ? "," : "")
            .append("\"")
            .append(name)
            .append("\":{\"dtype\":\"F32\",\"shape\":[");
        header.append(extents).append("],\"data_offsets\":[").append(std::to_string(end)).append(",");
        header.append(std::to_string(end + 4 * elements)).append("]}");
        end += 4 * elements;
    }
    header += "}";
    std::string bytes(8, '\0');
    const std::uint64_t length = header.size();
    std::memcpy(bytes.data(), &length, 8);
    bytes += header;
    std::minstd_rand random(1);
    std::normal_distribution<float> weight(0.0f, 0.02f);
    for (std::uint64_t i = 0; i < end / 4; ++i) {
        const float value = weight(random);
        bytes.append(reinterpret_cast<const char*>(&value), 4);
    }
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
}

}  // namespace quantloupe::tests
