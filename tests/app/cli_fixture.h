// SPDX-License-Identifier: GPL-3.0-or-later
// Runs quantloupe-cli and makes small models for it.
#pragma once

#include <QByteArray>
#include <QDir>
#include <QFile>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>
#include <QProcess>
#include <QString>
#include <QStringList>
#include <QTemporaryDir>

#include <cstdint>
#include <cstring>
#include <random>

namespace quantloupe::tests {

struct CliRun {
    int status = -1;
    QByteArray output;
    QByteArray errors;

    /// The one object on standard output; empty when there is anything else.
    QJsonObject json() const
    {
        QJsonParseError error;
        const auto document = QJsonDocument::fromJson(output, &error);
        return error.error == QJsonParseError::NoError && document.isObject() ? document.object() : QJsonObject();
    }
};

inline CliRun runCli(const QStringList& arguments)
{
    QProcess process;
    process.start(QStringLiteral(QUANTLOUPE_CLI), arguments);
    CliRun run;
    if (process.waitForFinished(120'000) && process.exitStatus() == QProcess::NormalExit)
        run.status = process.exitCode();
    run.output = process.readAllStandardOutput();
    run.errors = process.readAllStandardError();
    return run;
}

inline bool writeFile(const QString& path, const QByteArray& content)
{
    QFile file(path);
    return file.open(QIODevice::WriteOnly | QIODevice::Truncate) && file.write(content) == content.size();
}

inline QByteArray readFile(const QString& path)
{
    QFile file(path);
    return file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray();
}

/// The weights of the bundled sample and what they are, in a new folder, without a tokenizer.
inline bool copySampleWithoutTokenizer(const QString& folder)
{
    const auto sample = QStringLiteral(QUANTLOUPE_SOURCE_DIR "/resources/samples/quantloupe-sample/");
    bool done = QDir().mkpath(folder);
    for (const auto* name : {"model.safetensors", "config.json"})
        done = done && QFile::copy(sample + QLatin1String(name), folder + QLatin1Char('/') + QLatin1String(name));
    return done;
}

/// A safetensors file of FP32 matrices [rows, columns] drawn from the seed, two per block, with a norm each.
inline bool writeModel(const QString& path, int blocks, int rows, int columns, unsigned seed = 1)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0F, 0.05F);
    QByteArray data;
    QJsonObject header;
    const auto add = [&](const QString& name, const QJsonArray& shape, int count) {
        const auto begin = data.size();
        for (int i = 0; i < count; ++i) {
            const float value = normal(random);
            data.append(reinterpret_cast<const char*>(&value), sizeof value);
        }
        header[name] = QJsonObject {
            {"dtype", "F32"}, {"shape", shape}, {"data_offsets", QJsonArray {qint64(begin), qint64(data.size())}}};
    };
    for (int block = 0; block < blocks; ++block) {
        const auto prefix = QStringLiteral("model.layers.%1.").arg(block);
        add(prefix + "input_layernorm.weight", {columns}, columns);
        add(prefix + "self_attn.q_proj.weight", {rows, columns}, rows * columns);
        add(prefix + "mlp.down_proj.weight", {rows, columns}, rows * columns);
    }
    const auto json = QJsonDocument(header).toJson(QJsonDocument::Compact);
    const auto length = static_cast<std::uint64_t>(json.size());
    return writeFile(path, QByteArray(reinterpret_cast<const char*>(&length), 8) + json + data);
}

}  // namespace quantloupe::tests
