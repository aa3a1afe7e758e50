// SPDX-License-Identifier: GPL-3.0-or-later
// The layers of the golden set with the result arrays of the original implementations.
#pragma once

#include "tests/support/npy_file.h"
#include "tests/support/shared_data.h"
#include "tests/support/synthetic_layer.h"

#include <nlohmann/json.hpp>

#include <QCryptographicHash>

#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace quantloupe::tests {

struct GoldenLayer {
    std::size_t rows = 0, columns = 0;
    std::vector<float> weights {};
    std::vector<float> importance {};  ///< mean x² per column
    std::vector<float> fisher {};      ///< of each weight; empty for the synthetic layer
    std::string data {};               ///< data.bin
};

inline std::string sha256(const void* data, std::size_t bytes)
{
    return QCryptographicHash::hash(
        QByteArrayView(static_cast<const char*>(data), qsizetype(bytes)), QCryptographicHash::Sha256)
        .toHex()
        .toStdString();
}

inline std::string contentOf(const std::filesystem::path& path)
{
    std::ifstream file(path, std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(file)), {});
}

/// Every entry of index.json. @pre the golden set is there
inline nlohmann::json goldenEntries()
{
    return nlohmann::json::parse(contentOf(golden() / "index.json"));
}

/// The five real layers and the synthetic one, by the names of their cases. Empty where a file is not as it should be.
inline std::map<std::string, GoldenLayer> goldenLayers()
{
    std::map<std::string, GoldenLayer> layers;
    for (const char* name : {"stories_0_wq", "stories_1_wk", "stories_2_w1", "stories_3_w2", "stories_4_wo"}) {
        auto weights = readNpy(golden() / name / "W.npy");
        auto importance = readNpy(golden() / name / "imatrix.npy");
        auto fisher = readNpy(golden() / name / "fisher_diag.npy");
        if (!weights || weights->shape.size() != 2 || !importance || !fisher)
            return {};
        layers[name] = {weights->shape[0], weights->shape[1], std::move(weights->values), std::move(importance->values),
            std::move(fisher->values), contentOf(golden() / name / "data.bin")};
    }
    const auto synthetic = nlohmann::json::parse(contentOf(golden() / "synthetic.json")).at("syn512");
    GoldenLayer layer {512, 512, syntheticWeights(512, 512, synthetic.at("seed"))};
    if (sha256(layer.weights.data(), layer.weights.size() * sizeof(float))
        != synthetic.at("sha256").at("W").get<std::string>())
        return {};
    layer.data = contentOf(golden() / "syn512" / "data.bin");
    layers["syn512"] = std::move(layer);
    return layers;
}

/// The tensor that results call "0.wq".
inline std::string goldenTensor(const std::string& layer)
{
    static const std::map<std::string, std::string> parts {{"wq", "self_attn.q_proj"}, {"wk", "self_attn.k_proj"},
        {"wv", "self_attn.v_proj"}, {"wo", "self_attn.o_proj"}, {"w1", "mlp.gate_proj"}, {"w2", "mlp.down_proj"},
        {"w3", "mlp.up_proj"}};
    return "model.layers." + layer.substr(0, 1) + "." + parts.at(layer.substr(2)) + ".weight";
}

/// As many values of an array as are stored.
template<class T>
std::vector<T> storedArray(const nlohmann::json& entry, const char* name, const GoldenLayer& layer)
{
    const nlohmann::json& array = entry.at("arrays").at(name);
    std::vector<T> values(array.at("nbytes").get<std::size_t>() / sizeof(T));
    std::memcpy(values.data(), layer.data.data() + array.at("offset").get<std::size_t>(), values.size() * sizeof(T));
    return values;
}

}  // namespace quantloupe::tests
