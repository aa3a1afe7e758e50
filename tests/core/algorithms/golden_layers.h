// SPDX-License-Identifier: GPL-3.0-or-later
// The golden set's layers and its entries of some methods, for the tests of this folder.
#pragma once

#include "tests/support/npy_file.h"
#include "tests/support/shared_data.h"
#include "tests/support/synthetic_layer.h"

#include <nlohmann/json.hpp>

#include <QCryptographicHash>

#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace quantloupe::tests {

struct GoldenLayer {
    std::size_t rows = 0, columns = 0;
    std::vector<float> weights;
    std::string data;  ///< data.bin
};

inline std::string contentOf(const std::filesystem::path& path)
{
    std::ifstream file(path, std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(file)), {});
}

/// Layers and entries whose method starts with `prefix`; empty where the set is not present.
struct GoldenSet {
    std::map<std::string, GoldenLayer> layers;
    std::vector<nlohmann::json> entries;

    explicit GoldenSet(const std::string& prefix)
    {
        if (!std::filesystem::exists(golden() / "index.json"))
            return;
        for (const auto& entry : nlohmann::json::parse(contentOf(golden() / "index.json"))) {
            if (entry.at("method").get<std::string>().rfind(prefix, 0) != 0)
                continue;
            entries.push_back(entry);
            const std::string name = entry.at("case");
            if (layers.count(name) != 0)
                continue;
            GoldenLayer& layer = layers[name];
            layer.data = contentOf(golden() / name / "data.bin");
            if (auto array = readNpy(golden() / name / "W.npy"))
                layer = {array->shape.at(0), array->shape.at(1), std::move(array->values), std::move(layer.data)};
            else
                layer = {512, 512, syntheticWeights(512, 512, 11), std::move(layer.data)};
        }
    }

    /// What is stored of an array: all of it, or its first values.
    template<class T>
    std::vector<T> stored(const nlohmann::json& entry, const char* name) const
    {
        const auto& array = entry.at("arrays").at(name);
        const std::string& data = layers.at(entry.at("case")).data;
        std::vector<T> values(array.at("nbytes").get<std::size_t>() / sizeof(T));
        std::memcpy(values.data(), data.data() + array.at("offset").get<std::size_t>(), values.size() * sizeof(T));
        return values;
    }
};

inline std::string sha256(const void* data, std::size_t bytes)
{
    return QCryptographicHash::hash(
        QByteArrayView(static_cast<const char*>(data), qsizetype(bytes)), QCryptographicHash::Sha256)
        .toHex()
        .toStdString();
}

inline double meanSquaredError(std::span<const float> a, std::span<const float> b)
{
    double sum = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i)
        sum += (double(a[i]) - double(b[i])) * (double(a[i]) - double(b[i]));
    return sum / double(a.size());
}

}  // namespace quantloupe::tests
