// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/error.h"
#include "core/base/glob.h"
#include "core/base/hash.h"

#include <QTest>

#include <span>

using namespace quantloupe;

class TestText : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void globs_data()
    {
        QTest::addColumn<QByteArray>("pattern");
        QTest::addColumn<QByteArray>("name");
        QTest::addColumn<bool>("matches");
        const auto row = [](const char* pattern, const char* name, bool matches) {
            QTest::addRow("%s on %s", pattern, name) << QByteArray(pattern) << QByteArray(name) << matches;
        };
        row("", "", true);
        row("", "a", false);
        row("*", "", true);
        row("a", "a", true);
        row("a", "ab", false);
        row("*norm*", "model.layers.0.input_layernorm.weight", true);
        row("*norm", "model.layers.0.input_layernorm.weight", false);
        row("model.layers.*.mlp.down_proj.weight", "model.layers.12.mlp.down_proj.weight", true);
        row("model.layers.?.mlp.*", "model.layers.12.mlp.up_proj.weight", false);
        row("*.weight", "weight", false);
        row("[ab]", "a", false);
        row("[ab]", "[ab]", true);
        row("a**b", "a.x.b", true);
        row("*a*b*c", "xxaxxbxxbxc", true);
        row("*a*b*c", "xxaxxbxxbx", false);
    }
    void globs()
    {
        QFETCH(const QByteArray, pattern);
        QFETCH(const QByteArray, name);
        QFETCH(const bool, matches);
        QCOMPARE(globMatches(pattern.toStdString(), name.toStdString()), matches);
    }

    void hostileGlobEnds()
    {
        std::string pattern;
        for (int i = 0; i < 200; ++i)
            pattern += "*a";
        QVERIFY(!globMatches(pattern + "b", std::string(20'000, 'a')));
    }

    void describesErrors()
    {
        QCOMPARE(
            describe({ErrorCode::Malformed, "m.gguf", 24, "bad magic"}), std::string("m.gguf, byte 24: bad magic"));
        QCOMPARE(describe({ErrorCode::Malformed, "", std::nullopt, "bad"}), std::string("bad"));
        QCOMPARE(describe({ErrorCode::Malformed, "a\x1b[31m\n", std::nullopt, ""}), std::string("a\\x1b[31m\\x0a"));
    }

    // Values of the reference implementation's own documentation of XXH3.
    void hashesLikeTheReference()
    {
        QCOMPARE(checksum64({}), 0x2d06800538d394c2ULL);
        QCOMPARE(FingerprintHasher().hex(), std::string("99aa06d3014798d86001c324468d497f"));
    }

    void fingerprintKeepsBoundaries()
    {
        FingerprintHasher one;
        one.add(std::string_view("ab"));
        one.add(std::string_view("c"));
        FingerprintHasher other;
        other.add(std::string_view("a"));
        other.add(std::string_view("bc"));
        QVERIFY(one.hex() != other.hex());
        QCOMPARE(one.hex().size(), std::size_t(32));
    }
};

QTEST_APPLESS_MAIN(TestText)
#include "tst_text.moc"
