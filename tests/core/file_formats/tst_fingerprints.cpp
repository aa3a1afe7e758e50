// SPDX-License-Identifier: GPL-3.0-or-later
// Which edits of a model make it another one.
#include "tests/support/packed_files.h"

#include <QTest>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

constexpr std::uint64_t kMatrix = std::uint64_t {512} << 20U, kNorm = std::uint64_t {16} << 10U;

std::string fingerprint(const std::filesystem::path& path)
{
    const auto model = openModel(path);
    return model ? (*model)->fingerprint : describe(model.error());
}

std::string entry(const char* name, const char* shape, std::uint64_t begin, std::uint64_t end)
{
    return filled(R"("%":{"dtype":"F32","shape":%,"data_offsets":[%,%]})",
        {name, shape, std::to_string(begin), std::to_string(end)});
}

/// A file without a byte of data on the disk; `data` bytes follow the header.
std::filesystem::path sparse(
    const CheckpointFolder& folder, const std::string& name, const std::string& entries, std::uint64_t data)
{
    const auto path = folder.write(name, safetensorsFile("{" + entries + "}", 0));
    std::filesystem::resize_file(path, std::filesystem::file_size(path) + data);
    return path;
}

void overwrite(const std::filesystem::path& path, std::uint64_t fromEnd, std::size_t count, char byte)
{
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(-static_cast<std::streamoff>(fromEnd), std::ios::end);
    file << std::string(count, byte);
}

}  // namespace

class TestFingerprints : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    /// Of a model of up to 64 MiB every byte counts.
    void everyByteOfASmallModelCounts()
    {
        const CheckpointFolder folder;
        const auto path =
            sparse(folder, "a.safetensors", entry("w", "[1024,1024]", 0, 4U << 20U), std::uint64_t {4} << 20U);
        const auto whole = fingerprint(path);
        for (const std::uint64_t fromEnd : {1U, 2U << 20U, (2U << 20U) + 12'345U, 4U << 20U}) {
            overwrite(path, fromEnd, 1, '\1');
            QVERIFY2(fingerprint(path) != whole, std::to_string(fromEnd).c_str());
            overwrite(path, fromEnd, 1, '\0');
        }
        QCOMPARE(fingerprint(path), whole);
    }

    /// Of a large one small tensors, and edits of matrices that are longer than 1/4096 of it.
    void largeModelsAreSampled()
    {
        const CheckpointFolder folder;
        const auto path = sparse(folder, "a.safetensors",
            entry("model.layers.0.mlp.up_proj.weight", "[16384,8192]", 0, kMatrix) + ","
                + entry("model.layers.1.mlp.up_proj.weight", "[16384,8192]", kMatrix, 2 * kMatrix) + ","
                + entry("model.norm.weight", "[4096]", 2 * kMatrix, 2 * kMatrix + kNorm),
            2 * kMatrix + kNorm);
        const auto whole = fingerprint(path);
        overwrite(path, kNorm / 2, 1, '\1');
        QVERIFY(fingerprint(path) != whole);
        overwrite(path, kNorm / 2, 1, '\0');
        constexpr std::size_t kEdit = (2 * kMatrix + kNorm) / 4'096 + 4'096;
        for (const auto fromEnd : {kNorm + kMatrix / 3, kNorm + kMatrix + kMatrix / 7}) {
            overwrite(path, fromEnd, kEdit, '\1');
            QVERIFY2(fingerprint(path) != whole, std::to_string(fromEnd).c_str());
            overwrite(path, fromEnd, kEdit, '\0');
        }
        QCOMPARE(fingerprint(path), whole);
    }

    void shardsOfALargeModelHaveItsFingerprint()
    {
        const CheckpointFolder one, two;
        const auto path = sparse(one, "model.safetensors",
            entry("b", "[16384,8192]", 0, kMatrix) + "," + entry("a", "[4096]", kMatrix, kMatrix + kNorm) + ","
                + entry("c", "[4096]", kMatrix + kNorm, kMatrix + 2 * kNorm),
            kMatrix + 2 * kNorm);
        const auto first = sparse(two, "model-00001-of-00002.safetensors",
            entry("a", "[4096]", 0, kNorm) + "," + entry("b", "[16384,8192]", kNorm, kNorm + kMatrix), kNorm + kMatrix);
        sparse(two, "model-00002-of-00002.safetensors", entry("c", "[4096]", 0, kNorm), kNorm);
        overwrite(path, 2 * kNorm + kMatrix / 2, 1U << 20U, '\7');
        overwrite(first, kMatrix / 2, 1U << 20U, '\7');
        QCOMPARE(fingerprint(two.path()), fingerprint(path));
    }

    /// Scales and zero points are part of a packed weight.
    void everyPartOfAPackedWeightCounts()
    {
        const auto file = [](char codes, char scales, char zeros) {
            SafetensorsBuilder builder;
            builder.add("a.qweight", "I32", {4, 32}, std::string(256, '\0') + codes + std::string(255, '\0'));
            builder.add("a.qzeros", "I32", {2, 4}, std::string(16, '\0') + zeros + std::string(15, '\0'));
            builder.add("a.scales", "F16", {2, 32}, std::string(64, '\0') + scales + std::string(63, '\0'));
            return builder.file();
        };
        const CheckpointFolder folder;
        const auto whole = fingerprint(folder.write("a.safetensors", file(0, 0, 0)));
        QCOMPARE(whole.size(), std::size_t(32));
        for (const auto& edited : {file(1, 0, 0), file(0, 1, 0), file(0, 0, 1)})
            QVERIFY(fingerprint(folder.write("a.safetensors", edited)) != whole);
    }
};

QTEST_APPLESS_MAIN(TestFingerprints)
#include "tst_fingerprints.moc"
