// SPDX-License-Identifier: GPL-3.0-or-later
// The golden set's entries of some methods, for the tests of this folder.
#pragma once

#include "tests/support/golden_layers.h"

#include <QTest>

#include <cmath>
#include <span>

namespace quantloupe::tests {

/// Layers, and entries whose method starts with `prefix`; empty where the set is not present.
struct GoldenSet {
    std::map<std::string, GoldenLayer> layers {};
    std::vector<nlohmann::json> entries {};

    explicit GoldenSet(const std::string& prefix)
    {
        if (!std::filesystem::exists(golden() / "index.json"))
            return;
        layers = goldenLayers();
        for (const auto& entry : goldenEntries())
            if (entry.at("method").get<std::string>().rfind(prefix, 0) == 0)
                entries.push_back(entry);
    }

    /// One row per entry for a function that takes its index, or one of −1 where the set is not present.
    /// False: other entries than expected.
    bool addRows(std::size_t expected) const
    {
        QTest::addColumn<int>("index");
        for (std::size_t i = 0; i < entries.size(); ++i)
            QTest::addRow("%s %s", entries[i].at("case").get<std::string>().c_str(),
                entries[i].at("method").get<std::string>().c_str())
                << int(i);
        if (entries.empty())
            QTest::newRow("absent") << -1;
        return entries.empty() || entries.size() == expected;
    }

    template<class T>
    std::vector<T> stored(const nlohmann::json& entry, const char* name) const
    {
        return storedArray<T>(entry, name, layers.at(entry.at("case")));
    }
};

inline double meanSquaredError(std::span<const float> a, std::span<const float> b)
{
    double sum = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i)
        sum += (double(a[i]) - double(b[i])) * (double(a[i]) - double(b[i]));
    return sum / double(a.size());
}

}  // namespace quantloupe::tests
