// SPDX-License-Identifier: GPL-3.0-or-later
// A small Llama-like checkpoint written for a test, and a workbench that has opened it.
#pragma once

#include "widgets/workbench/workbench.h"

#include <QFile>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>
#include <QSignalSpy>
#include <QTemporaryDir>

#include <memory>
#include <random>
#include <vector>

namespace quantloupe::tests {

struct SmallTensor {
    QString name;
    std::vector<std::uint64_t> shape;
};

/// Tensors of `blocks` blocks, `width` wide.
inline std::vector<SmallTensor> llamaTensors(unsigned blocks, std::uint64_t width)
{
    std::vector<SmallTensor> tensors {{QStringLiteral("model.embed_tokens.weight"), {width * 4, width}}};
    for (unsigned block = 0; block < blocks; ++block) {
        const auto add = [&](const char* name, std::vector<std::uint64_t> shape) {
            tensors.push_back({QStringLiteral("model.layers.%1.%2.weight").arg(block).arg(QLatin1String(name)), shape});
        };
        for (const auto* name : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"})
            add(name, {width, width});
        add("mlp.gate_proj", {width * 2, width});
        add("mlp.up_proj", {width * 2, width});
        add("mlp.down_proj", {width, width * 2});
        add("input_layernorm", {width});
    }
    tensors.push_back({QStringLiteral("model.norm.weight"), {width}});
    return tensors;
}

/// F32 weights with heavy tails from a fixed seed; one input channel of every down_proj sticks out.
inline QString writeModel(const QTemporaryDir& folder, const std::vector<SmallTensor>& tensors)
{
    std::mt19937 random(11);
    std::student_t_distribution<float> distribution(6.0F);
    QJsonObject header {{"__metadata__", QJsonObject {{"quantloupe.synthetic", "true"}}}};
    QByteArray data;
    for (const auto& tensor : tensors) {
        std::uint64_t count = 1;
        QJsonArray shape;
        for (const auto extent : tensor.shape) {
            count *= extent;
            shape.append(static_cast<qint64>(extent));
        }
        const auto columns = tensor.shape.back();
        std::vector<float> weights(count);
        for (std::size_t i = 0; i < weights.size(); ++i) {
            weights[i] = 0.02F * distribution(random);
            if (tensor.name.contains(QStringLiteral("down_proj")) && i % columns == 3)
                weights[i] *= 12.0F;
        }
        const auto begin = data.size();
        data.append(reinterpret_cast<const char*>(weights.data()), static_cast<qsizetype>(count * sizeof(float)));
        header[tensor.name] =
            QJsonObject {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", QJsonArray {begin, data.size()}}};
    }
    auto json = QJsonDocument(header).toJson(QJsonDocument::Compact);
    while (json.size() % 8 != 0)
        json += ' ';
    const auto path = folder.filePath(QStringLiteral("small-model.safetensors"));
    QFile file(path);
    if (!file.open(QIODevice::WriteOnly))
        return {};
    const auto length = static_cast<quint64>(json.size());
    file.write(reinterpret_cast<const char*>(&length), sizeof length);
    file.write(json);
    file.write(data);
    QFile config(folder.filePath(QStringLiteral("config.json")));
    if (config.open(QIODevice::WriteOnly))
        config.write(R"({"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4})");
    return path;
}

/// Opens a model and waits for it; null when it fails.
inline std::unique_ptr<Workbench> openedWorkbench(const QTemporaryDir& folder, const std::vector<SmallTensor>& tensors)
{
    qputenv("QUANTLOUPE_DATA", folder.filePath(QStringLiteral("data")).toLocal8Bit());
    auto workbench = std::make_unique<Workbench>();
    QSignalSpy changed(workbench.get(), &Workbench::modelChanged);
    workbench->openModel(writeModel(folder, tensors));
    return changed.wait(20000) && workbench->model() ? std::move(workbench) : nullptr;
}

}  // namespace quantloupe::tests
