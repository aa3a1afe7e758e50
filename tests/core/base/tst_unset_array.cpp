// SPDX-License-Identifier: GPL-3.0-or-later
// What was moved from points nowhere and says so.
#include "core/base/unset_array.h"

#include <QTest>

#include <algorithm>
#include <utility>

using namespace quantloupe;

class TestUnsetArray : public QObject
{
    Q_OBJECT

private Q_SLOTS:
    void movedFromIsEmpty()
    {
        UnsetArray<int> first(3);
        std::fill(first.begin(), first.end(), 7);
        auto second = std::move(first);
        QVERIFY(first.empty() && first.begin() == first.end() && !first.data());
        QCOMPARE(second.size(), std::size_t(3));
        first = std::move(second);
        QVERIFY(second.empty() && !second.data());
        QCOMPARE(std::count(first.begin(), first.end(), 7), 3);
    }
};

QTEST_APPLESS_MAIN(TestUnsetArray)
#include "tst_unset_array.moc"
