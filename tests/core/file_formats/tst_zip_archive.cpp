// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/zip_archive.h"

#include "tests/support/shared_data.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/zip_files.h"

#include <QTest>

#include <random>

using namespace quantloupe;
using tests::ZipBuilder;
using tests::ZipMember;

namespace {

std::string noise(std::size_t size)
{
    std::mt19937 random(7);
    std::string bytes(size, '\0');
    for (auto& byte : bytes)
        byte = static_cast<char>(random() % 32);  // five bits of eight: packs, but not by much
    return bytes;
}

Result<ZipArchive> openArchive(const tests::CheckpointFolder& folder, const std::string& content)
{
    auto file = MappedFile::open(folder.write("a.zip", content));
    if (!file)
        return tl::unexpected(file.error());
    return ZipArchive::open(*file);
}

std::string textOf(Bytes bytes)
{
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

/// The one member "w", as it is unpacked.
Result<std::string> unpacked(const std::string& content, std::uint64_t limit = 1U << 30U)
{
    const tests::CheckpointFolder folder;
    const auto archive = openArchive(folder, content);
    if (!archive)
        return tl::unexpected(archive.error());
    const auto bytes = archive->unpack(*archive->find("w"), limit);
    if (!bytes)
        return tl::unexpected(bytes.error());
    return textOf(*bytes);
}

}  // namespace

class TestZipArchive : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void givesMembers_data()
    {
        QTest::addColumn<bool>("wide");
        QTest::addColumn<int>("alignment");
        QTest::newRow("plain") << false << 1;
        QTest::newRow("zip64") << true << 1;
        QTest::newRow("aligned as PyTorch does") << true << 64;
    }

    void givesMembers()
    {
        QFETCH(const bool, wide);
        QFETCH(const int, alignment);
        const auto large = noise(700'000);
        ZipBuilder zip;
        zip.wideEnd = wide;
        zip.alignment = std::size_t(alignment);
        zip.comment = "PK\5\6 within a comment";
        zip.store("root/data/0", "eight by").wide = wide;
        zip.store("root/", "");
        zip.deflate("root/large", large).wide = wide;
        zip.deflate("empty", "");
        const tests::CheckpointFolder folder;
        const auto archive = openArchive(folder, zip.file());
        QVERIFY2(archive, archive ? "" : describe(archive.error()).c_str());
        QCOMPARE(archive->entries().size(), std::size_t(3));  // without the folder
        QVERIFY(!archive->find("root/"));
        const auto* stored = archive->find("root/data/0");
        QVERIFY(stored && !stored->deflated && stored->offset % std::size_t(alignment) == 0);
        QCOMPARE(textOf(archive->packedBytes(*stored)), std::string("eight by"));
        QCOMPARE(textOf(*archive->unpack(*stored, 8)), std::string("eight by"));
        QCOMPARE(textOf(*archive->unpackHead(*stored, 3)), std::string("eig"));
        QVERIFY(archive->unpack(*stored, 7).error().code == ErrorCode::Unsupported);
        const auto* packed = archive->find("root/large");
        QVERIFY(packed && packed->deflated && packed->size == large.size());
        QVERIFY(textOf(*archive->unpack(*packed, large.size())) == large);
        QVERIFY(textOf(*archive->unpackHead(*packed, 300'000)) == large.substr(0, 300'000));
        QVERIFY(textOf(*archive->unpackHead(*packed, 900'000)) == large);
        QVERIFY(archive->unpack(*archive->find("empty"), 0).value().empty());

        for (const auto first : std::initializer_list<std::uint64_t> {0, 1, 128, 262'144, 700'000}) {
            const auto deferred = archive->deferred(*packed, first);
            QCOMPARE(deferred->size(), large.size() - first);
            QCOMPARE(deferred->digest(), std::uint64_t(tests::slowCrc32(large)));
            const auto held = deferred->hold({});
            QVERIFY2(held, held ? "" : describe(held.error()).c_str());
            QVERIFY(textOf((*held)->bytes()) == large.substr(first));
        }
        std::stop_source stop;
        stop.request_stop();
        QVERIFY(archive->deferred(*packed)->hold(stop.get_token()).error().code == ErrorCode::Cancelled);
    }

    void refuses_data()
    {
        QTest::addColumn<QByteArray>("file");
        QTest::addColumn<int>("code");
        QTest::addColumn<QByteArray>("reason");
        const auto row = [](const char* title, const ZipBuilder& zip, ErrorCode code, const char* reason) {
            const auto file = zip.file();
            QTest::newRow(title) << QByteArray(file.data(), qsizetype(file.size())) << int(code) << QByteArray(reason);
        };
        const auto named = [&](const char* title, std::string_view name, const char* reason) {
            ZipBuilder zip;
            zip.store(name, "x");
            row(title, zip, ErrorCode::Malformed, reason);
        };
        using namespace std::string_view_literals;
        named("no name", "", "points out");
        named("absolute", "/etc/passwd", "points out");
        named("up", "../w", "points out");
        named("up inside", "a/../../w", "points out");
        named("up at the end", "a/..", "points out");
        named("backslash", "a\\w", "points out");
        named("drive", "C:w", "points out");
        named("NUL", "a\0b"sv, "points out");
        named("no UTF-8", "\xff", "points out");
        named("folder with content", "a/", "folder");
        // One good member, broken in one place.
        const auto broken = [&](const char* title, ErrorCode code, const char* reason, auto change) {
            ZipBuilder zip;
            change(zip.store("w", "four"), zip);
            row(title, zip, code, reason);
        };
        const auto member = [&](const char* title, ErrorCode code, const char* reason, void (*change)(ZipMember&)) {
            broken(title, code, reason, [=](ZipMember& w, ZipBuilder&) { change(w); });
        };
        const auto archive = [&](const char* title, ErrorCode code, const char* reason, void (*change)(ZipBuilder&)) {
            broken(title, code, reason, [=](ZipMember&, ZipBuilder& zip) { change(zip); });
        };
        member("encrypted", ErrorCode::Unsupported, "encrypted", [](ZipMember& w) { w.flags = 1; });
        member("bzip2", ErrorCode::Unsupported, "method 12", [](ZipMember& w) { w.method = w.localMethod = 12; });
        member("other name inside", ErrorCode::Malformed, "another", [](ZipMember& w) { w.localName = "v"; });
        member("other method inside", ErrorCode::Malformed, "another", [](ZipMember& w) { w.localMethod = 8; });
        member("sizes differ", ErrorCode::Malformed, "two sizes", [](ZipMember& w) { w.size = 5; });
        member("into directory", ErrorCode::Truncated, "into the", [](ZipMember& w) { w.packedSize = w.size = 5; });
        member("size 2^63", ErrorCode::Truncated, "into the", [](ZipMember& w) {
            w.packedSize = w.size = std::uint64_t {1} << 63U;
            w.wide = true;
        });
        member("size 2^64-1", ErrorCode::Truncated, "into the", [](ZipMember& w) {
            w.packedSize = w.size = ~std::uint64_t {0};
            w.wide = true;
        });
        member("place past end", ErrorCode::Malformed, "in front", [](ZipMember& w) { w.header = 1'000; });
        member("place 2^64-1", ErrorCode::Malformed, "in front", [](ZipMember& w) {
            w.header = ~std::uint64_t {0};
            w.wide = true;
        });
        member("place without header", ErrorCode::Malformed, "another", [](ZipMember& w) { w.header = 1; });
        member("size left to zip64", ErrorCode::Malformed, "zip64", [](ZipMember& w) { w.packedSize = 0xFFFFFFFF; });
        member("bomb", ErrorCode::Unsupported, "200 times", [](ZipMember& w) {
            w.method = w.localMethod = 8;
            w.size = 20'000'000;
        });
        member("huge", ErrorCode::Unsupported, "4 GiB", [](ZipMember& w) {
            w.method = w.localMethod = 8;
            w.size = std::uint64_t {1} << 33U;
            w.wide = true;
        });
        archive("twins", ErrorCode::Malformed, "twice", [](ZipBuilder& zip) { zip.store("w", "five"); });
        archive("overlap", ErrorCode::Malformed, "inside another", [](ZipBuilder& zip) {
            // The second archive lies in the first member, whole and valid.
            const auto inner = zip;
            zip.members[0].packed = inner.file();
            zip.members[0].size = zip.members[0].packed.size();
            auto& second = zip.store("w", "four");
            second.header = 31;
            zip.members[0].name = zip.members[0].localName = "o";
        });
        archive("more members than bytes", ErrorCode::Malformed, "cannot hold", [](ZipBuilder& z) { z.count = 2; });
        archive("fewer members", ErrorCode::Malformed, "longer", [](ZipBuilder& zip) { zip.count = 0; });
        archive("gap", ErrorCode::Malformed, "no member's entry", [](ZipBuilder& zip) { zip.directoryOffset = 1; });
        archive("directory past end", ErrorCode::Truncated, "reaches past",
            [](ZipBuilder& zip) { zip.directoryOffset = 0x7FFFFFFF; });
        archive("directory too large", ErrorCode::Truncated, "reaches past",
            [](ZipBuilder& zip) { zip.directorySize = 0x7FFFFFFF; });
        archive("two truths", ErrorCode::Malformed, "differ", [](ZipBuilder& zip) {
            zip.wideEnd = true;
            zip.count = 5;
        });
        row(
            "two overlapping",
            [] {
                ZipBuilder zip;
                zip.store("a", std::string(100, 'x'));
                zip.store("b", "y").header = 0;
                zip.members[1].localName = "a";
                zip.members[1].name = "a";
                return zip;
            }(),
            ErrorCode::Malformed, "inside another");
    }

    void refuses()
    {
        QFETCH(const QByteArray, file);
        QFETCH(const int, code);
        QFETCH(const QByteArray, reason);
        const tests::CheckpointFolder folder;
        const auto archive = openArchive(folder, file.toStdString());
        QVERIFY(!archive);
        QVERIFY2(
            archive.error().reason.find(reason.constData()) != std::string::npos, describe(archive.error()).c_str());
        QCOMPARE(int(archive.error().code), code);
        QVERIFY(archive.error().offset.has_value());
    }

    void refusesWhatDoesNotUnpack()
    {
        const auto text = noise(300'000);
        ZipBuilder good;
        good.deflate("w", text);
        QVERIFY(unpacked(good.file()) == text);
        const auto fails = [&](auto change) {
            auto zip = good;
            change(zip.members[0]);
            const auto result = unpacked(zip.file());
            return result ? std::string("unpacked") : result.error().reason;
        };
        QVERIFY(fails([](ZipMember& w) { ++w.checksum; }).find("checksum") != std::string::npos);
        QVERIFY(fails([](ZipMember& w) { --w.size; }).find("more than its size") != std::string::npos);
        QVERIFY(fails([](ZipMember& w) { ++w.size; }).find("less than its size") != std::string::npos);
        QVERIFY(fails([](ZipMember& w) { w.packed += 'x'; }).find("go on") != std::string::npos);
        QVERIFY(fails([](ZipMember& w) { w.packed.pop_back(); }).find("too soon") != std::string::npos);
        QVERIFY(fails([](ZipMember& w) { w.packed[0] = '\7'; }).find("damaged") != std::string::npos);
        QVERIFY(fails([](ZipMember& w) { w.packed.clear(); }).find("too soon") != std::string::npos);
        ZipBuilder stored;
        stored.store("w", text).checksum ^= 1U;
        QVERIFY(unpacked(stored.file()).error().reason.find("checksum") != std::string::npos);

        // Also where it is unpacked to disk, and then nothing is left to be read.
        auto wrong = good;
        ++wrong.members[0].checksum;
        const tests::CheckpointFolder folder;
        const auto archive = openArchive(folder, wrong.file());
        const auto deferred = archive->deferred(*archive->find("w"), 16);
        QVERIFY(deferred->hold({}).error().code == ErrorCode::Malformed);
        QVERIFY(!deferred->held());
    }

    void refusesTruncation_data()
    {
        QTest::addColumn<bool>("wide");
        QTest::newRow("plain") << false;
        QTest::newRow("zip64") << true;
    }

    void refusesTruncation()
    {
        QFETCH(const bool, wide);
        ZipBuilder zip;
        zip.wideEnd = wide;
        zip.store("a/b", "stored bytes").wide = wide;
        zip.deflate("w", "deflated bytes, deflated bytes").wide = wide;
        const auto whole = zip.file();
        const tests::CheckpointFolder folder;
        QVERIFY(openArchive(folder, whole));
        for (std::size_t length = 0; length < whole.size(); ++length) {
            const auto archive = openArchive(folder, whole.substr(0, length));
            QVERIFY2(!archive, qPrintable(QString("cut to %1 bytes").arg(length)));
            QVERIFY(archive.error().code == ErrorCode::Truncated);
        }
    }

    void readsRealArchives()
    {
        const auto path = tests::corpus() / "torch-zip" / "pnet_zip.pt";
        QUANTLOUPE_NEED(path);
        const auto archive = ZipArchive::open(*MappedFile::open(path));
        QVERIFY2(archive, archive ? "" : describe(archive.error()).c_str());
        for (const auto& entry : archive->entries())  // each fits its checksum
            QCOMPARE(archive->unpack(entry, 1U << 20U).value().size(), std::size_t(entry.size));
    }
};

QTEST_APPLESS_MAIN(TestZipArchive)
#include "tst_zip_archive.moc"
