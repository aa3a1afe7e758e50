// SPDX-License-Identifier: GPL-3.0-or-later
// A made-up model and measurements that fill every field, different for every tensor, scheme and seed.
#pragma once

#include "core/study/study.h"

#include <QByteArray>
#include <QFile>
#include <QTemporaryDir>

#include <random>
#include <string>
#include <vector>

namespace quantloupe::tests {

inline ModelCatalog makeCatalog(
    std::size_t tensors, const std::string& fingerprint = "0123456789abcdef0123456789abcdef")
{
    ModelCatalog catalog;
    catalog.fingerprint = fingerprint;
    catalog.path = "/models/größe.safetensors";
    catalog.format = "safetensors";
    catalog.naming = NamingWorld::Gguf;
    catalog.synthetic = true;
    catalog.config.architecture = "llama";
    catalog.config.hiddenSize = 64;
    catalog.config.layers = 5;
    catalog.config.slidingWindow = 128;
    catalog.config.tiedEmbeddings = true;
    catalog.warnings = {"one thing", "", "another: thing"};
    for (std::size_t i = 0; i < tensors; ++i) {
        CatalogTensor tensor;
        tensor.name = "blk." + std::to_string(i) + ".attn_q.weight";
        tensor.parts.role = i % 3 == 0 ? TensorRole::Query : TensorRole::Norm;
        if (i % 2 == 0)
            tensor.parts.block = static_cast<unsigned>(i);
        if (i % 5 == 1)
            tensor.parts.expert = 7;
        tensor.parts.sharedExpert = i % 7 == 0;
        tensor.parts.expertStack = i % 4 == 1;
        tensor.parts.fusedGroup = i % 2 == 0 ? std::to_string(i) + ".attn.qkv" : "";
        tensor.dtype = i % 2 == 0 ? DType::BF16 : DType::Q4_K;
        tensor.packing = i % 6 == 4 ? "GPTQ int4:g128:asym" : "";
        tensor.shape = i % 4 == 1 ? Shape {2, 3, 256} : i % 4 == 3 ? Shape {256} : Shape {12, 256};
        tensor.matrix = {12, 256};
        tensor.bytes = 6144 + i;
        tensor.quantizable = i % 4 != 3;
        catalog.tensors.push_back(std::move(tensor));
    }
    return catalog;
}

/// Every number drawn from the seed. `rows` and `columns` size the profiles.
inline TensorMeasurement makeMeasurement(const std::string& tensor, const std::vector<std::string>& schemes,
    unsigned seed, std::size_t rows = 12, std::size_t columns = 40)
{
    std::mt19937_64 random(seed);
    const auto real = [&] { return std::uniform_real_distribution<double>(-3.0, 3.0)(random); };
    const auto histogram = [&](std::size_t bins) {
        Histogram made {real(), real(), std::vector<std::uint64_t>(bins), random(), random() % 10};
        for (auto& count : made.counts)
            count = random() % 1000;
        return made;
    };
    const auto profile = [&](std::size_t length) {
        std::vector<float> made(length);
        for (auto& value : made)
            value = static_cast<float>(real());
        return made;
    };
    TensorMeasurement measurement;
    measurement.tensor = tensor;
    auto& weights = measurement.weights;
    weights.moments = {real(), random(), real(), real(), real(), real()};
    weights.minimum = real();
    weights.maximum = real();
    weights.absMax = real();
    weights.zeros = random();
    weights.nonFinite = random();
    weights.beyond3Sigma = random();
    weights.beyond6Sigma = random();
    weights.histogram = histogram(256);
    weights.survival.assign(81, real());
    weights.rowAbsMax = profile(rows);
    weights.columnAbsMax = profile(columns);
    weights.outlierRows = {1, 5, static_cast<std::uint32_t>(seed)};
    weights.outlierColumns = seed % 2 ? std::vector<std::uint32_t> {} : std::vector<std::uint32_t> {3};
    weights.percentile1 = real();
    weights.percentile99 = real();
    for (std::size_t i = 0; i < schemes.size(); ++i) {
        SchemeMeasurement made;
        made.scheme = Scheme::parse(schemes[i]).value();
        made.error = {random(), random(), random() % 9, real(), real(), real(), real(), real(), real()};
        made.storedBytes = random();
        made.bitsPerWeight = real() + 5.0;
        made.importance = random() % 2 == 0 ? random() : 0;
        made.predicted = {real(), real()};
        made.errorHistogram = histogram(i % 2 ? 256 : 128);  // of unequal length on purpose
        made.rowErrorEnergy = profile(i % 3 ? rows : 0);
        made.columnErrorEnergy = profile(columns);
        measurement.schemes.push_back(std::move(made));
    }
    return measurement;
}

/// Whether a snapshot holds exactly this measurement.
inline bool holds(const StudySnapshot& study, const TensorMeasurement& measurement)
{
    const auto* weights = study.findWeights(measurement.tensor);
    if (!weights || !(*weights == measurement.weights))
        return false;
    for (const auto& scheme : measurement.schemes) {
        const auto* found = study.find(measurement.tensor, scheme.scheme.toString());
        if (!found || !(*found == scheme))
            return false;
    }
    return true;
}

inline QByteArray contentOf(const std::filesystem::path& path)
{
    QFile file(QString::fromStdString(path.string()));
    return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray();
}

inline void overwrite(const std::filesystem::path& path, const QByteArray& content)
{
    QFile file(QString::fromStdString(path.string()));
    if (!file.open(QIODevice::WriteOnly | QIODevice::Truncate) || file.write(content) != content.size())
        qFatal("cannot write the test's file");
}

}  // namespace quantloupe::tests
